"""A certificate tells a model from any other, names where they differ, and never passes what isn't a number."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.registry.certificate import Certificate, choose_probes, record, replay
from tunewright.support.errors import InputError, TunewrightError


@dataclass
class Scorer:
    """A model whose answers are arithmetic: logits from token sums, faults added on demand."""

    label_names: tuple[str, ...] = ("ham", "spam")
    cleaning: dict[str, object] = field(default_factory=dict)
    shift: float = 0.0
    leak: float = 0.0
    tokens: int = 0
    lower: bool = False

    def clean(self, text):
        return " ".join(text.lower().split() if self.lower else text.split())

    def encode(self, texts):
        return [[ord(letter) + self.tokens for letter in self.clean(text)] or [0] for text in texts]

    def logits(self, texts, *, batch_size):
        assert batch_size >= 1
        sums = np.array([[sum(ids) % 97, len(ids)] for ids in self.encode(texts)], dtype=np.float32)
        return sums / 10 + np.float32(self.shift) + np.float32(self.leak) * (len(texts) > 1)


TEXTS = ["ok", "You have WON", "see  you", "a longer text than the others here"]


def test_a_certificate_is_replayed_by_the_same_model():
    certificate = record(Scorer(), TEXTS, bound=1e-4, model_digest="d")
    result = replay(Certificate.model_validate_json(certificate.model_dump_json()), Scorer())
    assert (result.probes, result.max_difference, result.batch_difference) == (4, 0, 0)
    assert result.certificate == certificate.digest


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (Scorer(shift=0.01), r"probe 1 \('ok'\): the logits differ by 0\.01, allowed are 0\.0001"),
        (Scorer(shift=float("nan")), r"probe 1 \('ok'\): the logits are not finite"),
        (Scorer(shift=float("inf")), "the logits are not finite"),
        (Scorer(leak=0.01), "the answer depends on the other rows of a batch"),
        (Scorer(tokens=1), r"probe 1 \('ok'\): the token ids differ from position 0"),
        (Scorer(lower=True), r"probe 2 \('You have WON'\): the text is cleaned differently"),
        (Scorer(label_names=("spam", "ham")), "the labels are spam, ham, certified were ham, spam"),
    ],
)
def test_a_model_that_differs_is_refused_with_the_probe_and_the_difference(changed, message):
    certificate = record(Scorer(), TEXTS, bound=1e-4)
    with pytest.raises(TunewrightError, match=message):
        replay(certificate, changed)


@pytest.mark.parametrize("broken", [Scorer(shift=float("nan")), Scorer(leak=0.01)])
def test_a_model_with_broken_answers_gets_no_certificate(broken):
    with pytest.raises(TunewrightError):
        record(broken, TEXTS, bound=1e-4)
    with pytest.raises(InputError, match="at least one probe"):
        record(Scorer(), [], bound=1e-4)


def test_a_certificate_that_was_edited_is_refused():
    certificate = record(Scorer(), TEXTS, bound=1e-4)
    first = certificate.probes[0]
    for change in ({"token_ids": (1, 2)}, {"logits": (float("nan"), 0.0)}):
        edited = certificate.model_copy(
            update={"probes": (first.model_copy(update=change), *certificate.probes[1:])}
        )
        with pytest.raises(TunewrightError, match="the certificate itself is damaged"):
            replay(edited, Scorer())


@given(st.lists(st.text(), max_size=50), st.integers(1, 20))
def test_probes_are_distinct_and_cover_shortest_and_longest(texts, count):
    chosen = choose_probes(texts, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(set(texts)))
    if len(chosen) > 1:
        lengths = [len(text) for text in texts]
        assert (len(chosen[0]), len(chosen[-1])) == (min(lengths), max(lengths))


@given(st.lists(st.text(min_size=1), min_size=1, max_size=8, unique=True), st.floats(2e-4, 10))
def test_any_shift_beyond_the_bound_is_found(texts, shift):
    certificate = record(Scorer(), texts, bound=1e-4)
    assert replay(certificate, Scorer()).max_difference == 0
    with pytest.raises(TunewrightError):
        replay(certificate, Scorer(shift=shift))
