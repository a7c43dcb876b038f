"""The behaviour certificate: what a model answered when it was made, replayed on every later form of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict

from tunewright.support.digests import digest_bytes, digest_json
from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

EXCERPT_CHARACTERS = 40
BATCH_SIZE = 32


class Certifiable(Protocol):
    """What a model must offer to be certified: a classifier, or the model as MLflow loads it."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Label names; the position is the class id."""
        ...

    @property
    def cleaning(self) -> Mapping[str, object]:
        """Settings of the cleaning that the model does itself."""
        ...

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of each text."""
        ...

    def logits(self, texts: list[str], *, batch_size: int) -> npt.NDArray[np.float32]:
        """Return float32 of shape (texts, labels)."""
        ...


class Probe(BaseModel):
    """One input and what the model made of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    """As it came, before cleaning."""
    cleaned_digest: str
    token_ids: tuple[int, ...]
    token_digest: str
    logits: tuple[float, ...]
    """Scored alone, in the order of the label names."""
    logits_digest: str


class Certificate(BaseModel):
    """What a model answered to its probes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    model_digest: str
    label_names: tuple[str, ...]
    bound: float
    """Largest difference of a logit that a replay may show."""
    batch_difference: float
    """Largest difference of a logit between a probe scored alone and among the others."""
    probes: tuple[Probe, ...]

    @property
    def digest(self) -> str:
        """Identity of the certificate: over all that it holds."""
        return digest_json(self.model_dump(mode="json"))


@dataclass(frozen=True, slots=True)
class Replay:
    """How closely a model repeated its certificate."""

    certificate: str
    probes: int
    max_difference: float
    """Largest difference of a logit from the record."""
    batch_difference: float
    """Largest difference of a logit between a probe scored alone and among the others."""
    bound: float


def choose_probes(texts: Sequence[str], count: int) -> list[str]:
    """Choose distinct texts that cover all lengths, the shortest and the longest included.

    Args:
        texts: Candidates, usually the validation split as it was read.
        count: How many to choose; fewer come back when there are fewer distinct texts.
    """
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    if len(distinct) <= count:
        return distinct
    if count == 1:
        return [distinct[len(distinct) // 2]]
    return [distinct[round(at * (len(distinct) - 1) / (count - 1))] for at in range(count)]


def record(
    classifier: Certifiable, texts: Sequence[str], *, bound: float, model_digest: str = ""
) -> Certificate:
    """Write down what a model answers.

    Args:
        classifier: The model as training left it.
        texts: The probes, before cleaning.
        bound: Largest difference of a logit that a replay may show.
        model_digest: Identity of the weights; taken from ``classifier.digest()`` when empty.

    Raises:
        InputError: When there are no probes.
        TunewrightError: When an answer isn't finite or depends on the other rows of a batch.
    """
    if not texts:
        raise InputError("a certificate needs at least one probe", mend="set registry.probes to 1 or more")
    probes = list(texts)
    tokens, alone, batch_difference = _answers(classifier, probes, bound)
    return Certificate(
        model_digest=model_digest or _digest_of(classifier),
        label_names=tuple(classifier.label_names),
        bound=bound,
        batch_difference=batch_difference,
        probes=tuple(
            Probe(
                text=text,
                cleaned_digest=digest_bytes(_cleaned(classifier, text).encode("utf-8", "surrogatepass")),
                token_ids=tuple(ids),
                token_digest=digest_json(ids),
                logits=tuple(float(value) for value in row),
                logits_digest=digest_bytes(row.tobytes()),
            )
            for text, ids, row in zip(probes, tokens, alone, strict=True)
        ),
    )


def replay(certificate: Certificate, scorer: Certifiable) -> Replay:
    """Ask a model the same questions and compare: tokens must be identical, logits within the bound.

    Raises:
        TunewrightError: On the first probe that differs, with the difference.
    """
    if tuple(scorer.label_names) != certificate.label_names:
        raise _mismatch(
            f"the labels are {', '.join(scorer.label_names)}, certified were {', '.join(certificate.label_names)}"
        )
    texts = [probe.text for probe in certificate.probes]
    for number, probe in enumerate(certificate.probes, start=1):
        if digest_json(list(probe.token_ids)) != probe.token_digest or not _all_finite(probe.logits):
            raise _mismatch("the certificate itself is damaged", number, probe.text)
        cleaned = _cleaned(scorer, probe.text).encode("utf-8", "surrogatepass")
        if digest_bytes(cleaned) != probe.cleaned_digest:
            raise _mismatch("the text is cleaned differently", number, probe.text)
    _compare_tokens(certificate, scorer.encode(texts))
    _, alone, batch_difference = _answers(scorer, texts, certificate.bound)
    largest = 0.0
    for number, (probe, row) in enumerate(zip(certificate.probes, alone, strict=True), start=1):
        difference = max(abs(float(a) - b) for a, b in zip(row, probe.logits, strict=True))
        if not difference <= certificate.bound:
            raise _mismatch(
                f"the logits differ by {difference:.3g}, allowed are {certificate.bound:g}",
                number,
                probe.text,
            )
        largest = max(largest, difference)
    return Replay(certificate.digest, len(texts), largest, batch_difference, certificate.bound)


def _answers(
    scorer: Certifiable, texts: list[str], bound: float
) -> tuple[list[list[int]], npt.NDArray[np.float32], float]:
    """Score each probe alone and all together.

    Returns:
        Token ids, the logits scored alone (probes, labels), and the largest difference to those of the batch.
    """
    import numpy as np

    together = np.asarray(scorer.logits(texts, batch_size=BATCH_SIZE), dtype=np.float32)
    alone = np.concatenate(
        [np.asarray(scorer.logits([text], batch_size=1), dtype=np.float32) for text in texts]
    )
    expected = (len(texts), len(scorer.label_names))
    if together.shape != expected or alone.shape != expected:
        raise _mismatch(f"the logits have shape {together.shape}, expected was {expected}")
    largest = 0.0
    for number, (text, one, other) in enumerate(zip(texts, alone, together, strict=True), start=1):
        if not (np.isfinite(one).all() and np.isfinite(other).all()):
            raise _mismatch("the logits are not finite", number, text)
        difference = float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max())
        if not difference <= bound:
            raise _mismatch(
                f"the answer depends on the other rows of a batch (by {difference:.3g}, allowed are {bound:g})",
                number,
                text,
            )
        largest = max(largest, difference)
    return scorer.encode(texts), alone, largest


def _compare_tokens(certificate: Certificate, encoded: Sequence[Sequence[int]]) -> None:
    """Refuse the first probe whose token ids differ."""
    for number, (probe, found) in enumerate(zip(certificate.probes, encoded, strict=True), start=1):
        ids = tuple(int(value) for value in found)
        if ids == probe.token_ids:
            continue
        pairs = zip(ids, probe.token_ids, strict=False)
        at = next(
            (place for place, (a, b) in enumerate(pairs) if a != b), min(len(ids), len(probe.token_ids))
        )
        raise _mismatch(
            f"the token ids differ from position {at} on ({len(ids)} tokens, certified were {len(probe.token_ids)})",
            number,
            probe.text,
        )


def _cleaned(scorer: Certifiable, text: str) -> str:
    """Clean a text as the model does: with its own module where it ships one, else with ours."""
    own: Any = getattr(scorer, "clean", None)
    if own is not None:
        return str(own(text))
    from tunewright.data.text_cleaning import clean_text

    return clean_text(text, scorer.cleaning)


def _digest_of(classifier: Certifiable) -> str:
    """Return the digest of a classifier's weights."""
    digest: Any = getattr(classifier, "digest", None)
    return str(digest()) if digest is not None else ""


def _all_finite(values: Sequence[float]) -> bool:
    """Tell whether no value is NaN or infinite."""
    return all(math.isfinite(value) for value in values)


def _mismatch(fact: str, number: int | None = None, text: str = "") -> TunewrightError:
    """Name the probe and the difference."""
    excerpt = text if len(text) <= EXCERPT_CHARACTERS else text[:EXCERPT_CHARACTERS] + "…"
    place = "certificate" if number is None else f"certificate probe {number} ({excerpt!r})"
    return TunewrightError(
        fact, place=place, mend="this model is not the one that was certified: don't use it"
    )
