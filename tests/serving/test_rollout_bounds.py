"""What a rollout does with what was counted: pure arithmetic, checked for all counts that there can be."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from tunewright.config.serving import ServingConfig
from tunewright.models.classifier import Prediction
from tunewright.serving.rollout.bounds import (
    CHANCE,
    MOST_DEATHS,
    Bounds,
    Decision,
    Progress,
    Seen,
    advance,
    broken,
    tail,
)  # fmt: skip
from tunewright.serving.rollout.picking import takes_part
from tunewright.serving.rollout.shadow import Labels, Shadow, Writings, logit_difference
from tunewright.serving.rollout.tally import LEAST_OLD, Tally
from tunewright.serving.rollout.timing import Timing
from tunewright.serving.rollout.webhook import is_genuine

CANARY = Bounds(steps=(0.05, 0.25, 0.5), step_s=10.0, requests=200, error_share=0.01)
counts = st.integers(0, 3000)


@given(of=st.integers(1, 4000), share=st.floats(0.0005, 0.5), data=st.data())
def test_the_chance_of_so_many_hits_is_the_exact_one(of, share, data):
    hits = data.draw(st.integers(0, of))
    exact = float(binom.sf(hits - 1, of, share))
    if hits > of * share:
        assert tail(hits, of, share) == pytest.approx(exact, rel=1e-6, abs=1e-300)
    else:
        assert tail(hits, of, share) == 1.0


@st.composite
def histories(draw):
    """Counts of a step as they grow, with the time."""
    now, seen, found = 0.0, [0] * 6, []
    for _ in range(draw(st.integers(1, 30))):
        now += draw(st.floats(0, 8))
        more = draw(st.integers(0, 120))
        errors = draw(st.integers(0, more))
        timed = draw(st.integers(0, more - errors))
        gained = [more, errors, draw(counts), 0, timed, draw(st.integers(0, timed))]
        seen = [one + other for one, other in zip(seen, gained, strict=True)]
        found.append((now, Seen(*seen, deaths=draw(st.sampled_from([0, 0, 0, 0, 1, MOST_DEATHS])))))
    return found


@given(histories())
def test_shares_grow_only_after_their_time_and_requests_and_never_past_a_broken_bound(history):
    progress = Progress(0.0)
    base = Seen()
    for now, whole in history:
        seen = minus(whole, base)
        before = progress
        progress, decision = advance(progress, seen, CANARY, now)
        if decision.what in ("next", "done"):
            assert seen.requests >= CANARY.requests
            assert now - before.since >= CANARY.step_s
            assert seen.deaths < MOST_DEATHS
            assert seen.errors / seen.requests < 0.5
            base = whole
        if decision.what == "next":
            assert progress.step == before.step + 1 < len(CANARY.steps)
        if decision.what in ("stay", "back", "done"):
            assert progress.step == before.step
        if decision.what == "back":
            assert decision.why
            assert seen.errors or seen.slow or seen.deaths
        if decision.what in ("done", "back"):
            return


def minus(whole: Seen, base: Seen) -> Seen:
    return Seen(
        whole.requests - base.requests, whole.errors - base.errors, whole.old_requests - base.old_requests,
        0, whole.timed - base.timed, whole.slow - base.slow, whole.deaths,
    )  # fmt: skip


@given(st.integers(0, 5000), st.floats(0, 1e6))
def test_a_version_without_faults_is_never_sent_back(requests, now):
    seen = Seen(requests=requests, old_requests=requests, timed=requests)
    assert advance(Progress(0.0), seen, CANARY, now)[1].what != "back"


def test_a_version_that_always_fails_goes_back_after_five_requests():
    assert advance(Progress(0.0), Seen(requests=4, errors=4), CANARY, 1.0)[1] == Decision("stay")
    assert advance(Progress(0.0), Seen(requests=5, errors=5), CANARY, 1.0)[1].what == "back"


def test_a_crash_loop_goes_back_and_one_death_does_not():
    assert advance(Progress(0.0), Seen(deaths=1), CANARY, 1.0)[1].what == "stay"
    assert advance(Progress(0.0), Seen(deaths=MOST_DEATHS), CANARY, 1.0)[1].what == "back"


@pytest.mark.parametrize("kind", ["errors", "slow"])
def test_a_version_at_its_bound_is_rarely_sent_back_by_chance(kind):
    """Looked at after every request, for all of a rollout."""
    chance, rollouts = random.Random(7), 1500
    share = CANARY.error_share if kind == "errors" else 0.05
    backs = sum(rolled_back(chance, kind, share) for _ in range(rollouts))
    allowed = float(binom.ppf(0.999, rollouts, CHANCE / 2))
    assert backs <= allowed


def rolled_back(chance: random.Random, kind: str, share: float) -> bool:
    progress, requests, hits, now = Progress(0.0), 0, 0, 0.0
    while True:
        requests, hits, now = requests + 1, hits + (chance.random() < share), now + 0.05
        seen = (
            Seen(requests=requests, errors=hits)
            if kind == "errors"
            else Seen(requests, timed=requests, slow=hits)
        )
        progress, decision = advance(progress, seen, CANARY, now)
        if decision.what in ("back", "done"):
            return decision.what == "back"
        if decision.what == "next":
            requests = hits = 0


@pytest.mark.parametrize(("kind", "share"), [("errors", 0.1), ("slow", 0.3)])
def test_a_bad_version_is_found_in_the_first_step(kind, share):
    chance = random.Random(3)
    assert sum(rolled_back(chance, kind, share) for _ in range(100)) == 100


def test_all_at_once_ends_with_its_time_and_a_shadow_never_does():
    all_at_once = Bounds.of(ServingConfig(rollout="all", rollout_step_s=5))
    assert (all_at_once.steps, advance(Progress(0.0), Seen(), all_at_once, 5.0)[1].what) == ((1.0,), "done")
    shadow = Bounds.of(ServingConfig(rollout="shadow"))
    assert shadow.steps == (0.0,)
    assert advance(Progress(0.0), Seen(requests=10**6), shadow, 1e9)[1].what == "stay"


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_who_belongs_to_a_share_belongs_to_every_larger_one(word, one, other):
    small, large = sorted((one, other))
    assert takes_part(word, small, salt="2") <= takes_part(word, large, salt="2")
    assert takes_part(word, 1.0, salt="2")
    assert not takes_part(word, 0.0, salt="2")


def test_a_share_is_one_of_all_requests():
    taken = sum(takes_part(f"req_{number}", 0.05, salt="2") for number in range(20_000))
    assert 850 < taken < 1150


def test_times_are_compared_with_those_of_requests_of_like_length():
    tally = Tally(1.5)
    for _ in range(LEAST_OLD):
        tally.old.add(Timing(10, 0.010))
        tally.old.add(Timing(1000, 0.500))
    for _ in range(20):
        tally.new.add(Timing(1000, 0.600))  # a caller with long texts is not slow
        tally.new.add(Timing(100_000, 9.0))  # nothing to compare it with
    assert (tally.seen(0).timed, tally.seen(0).slow) == (20, 0)
    tally.new.add(Timing(10, 0.600))
    assert (tally.seen(0).timed, tally.seen(0).slow) == (21, 1)
    tally.next_step()
    assert tally.seen(0) == Seen()
    tally.new.add(Timing(10, 0.012))
    assert tally.seen(0).timed == 1


def test_a_language_model_is_timed_by_its_first_token_and_each_further_one():
    tally = Tally(1.5)
    for _ in range(LEAST_OLD):
        tally.old.add(Timing(10, 0.010, written=40, token_s=0.010))
    for _ in range(20):
        tally.new.add(Timing(10, 0.012, written=60, token_s=0.011))
        tally.new.add(
            Timing(10, 0.012, written=600, token_s=0.011)
        )  # says more, and no old answer is as long
    seen = tally.seen(0)
    assert (seen.timed, seen.slow, seen.token_timed, seen.token_slow) == (40, 0, 20, 0)
    assert broken(seen, CANARY, CHANCE) == ""
    for _ in range(10):
        tally.new.add(Timing(10, 0.012, written=40, token_s=0.030))  # its first token is in time
    seen = tally.seen(0)
    assert (seen.slow, seen.token_timed, seen.token_slow) == (0, 30, 10)
    assert "10 of 30 answers are slower for each token" in broken(seen, CANARY, CHANCE)
    tally.next_step()
    tally.new.add(Timing(10, 0.010, written=40, token_s=0.010))
    assert tally.seen(0).token_timed == 1


def answer(*logits: float) -> Prediction:
    powers = [math.exp(each) for each in logits]
    shares = {f"label {at}": each / sum(powers) for at, each in enumerate(powers)}
    best = max(shares, key=shares.__getitem__)
    return Prediction(best, shares[best], shares)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(-8, 8), st.floats(-8, 8)), min_size=2, max_size=5))
def test_the_difference_of_answers_is_that_of_their_logits(pairs):
    one, other = zip(*pairs, strict=True)
    centred = [[each - sum(row) / len(row) for each in row] for row in (one, other)]
    expected = max(abs(first - second) for first, second in zip(*centred, strict=True))
    assert logit_difference(answer(*one), answer(*other)) == pytest.approx(expected, abs=1e-6)


def test_a_shadow_counts_what_agrees():
    shadow = Shadow()
    found = Labels.compare([answer(1, 0), answer(0, 1)], [answer(1, 0), answer(1, 0)])
    shadow.add(found)
    assert (shadow.texts, shadow.agreeing) == (found.texts, found.agreeing) == (2, 1)
    assert shadow.largest_difference == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ([1, 2, 3], [1, 2, 3], (1, 1, 3, 3)),
        ([1, 2, 3], [1, 2, 3, 4], (1, 1, 3, 3)),  # the reader of the old one had enough
        ([1, 2, 3], [1, 2], (1, 0, 3, 2)),
        ([1, 2, 3], [1, 9, 3], (1, 0, 3, 1)),  # what stands behind the first difference says nothing
        ([1], [2], (1, 0, 1, 0)),
    ],
)
def test_answers_are_compared_token_by_token(old, new, found):
    assert Writings.compare([old], [new]) == Writings(*found)


def test_a_shadow_counts_tokens_until_the_first_that_differs():
    shadow = Shadow()
    shadow.add(Writings.compare([[1, 2, 3], [4, 5]], [[1, 2, 9], [4, 5]]))
    shadow.add(Writings.compare([[7]], [[7]]))
    assert (shadow.answers, shadow.agreeing, shadow.tokens, shadow.same_tokens) == (3, 2, 6, 5)


def test_mlflows_own_signature_is_taken_and_no_other():
    from mlflow.webhooks.delivery import _generate_hmac_signature

    body = '{"entity": "model_version_alias"}'
    headers = {
        "x-mlflow-delivery-id": "d",
        "x-mlflow-timestamp": "1000",
        "x-mlflow-signature": _generate_hmac_signature("secret", "d", "1000", body),
    }
    assert is_genuine(headers, body.encode(), "secret", 1100.0)
    assert not is_genuine(headers, body.encode(), "secret", 1301.0)
    assert not is_genuine(headers, body.encode(), "", 1100.0)
    assert not is_genuine(headers, body.encode() + b" ", "secret", 1100.0)
    assert not is_genuine({}, body.encode(), "secret", 1100.0)
    empty = base64.b64encode(hmac.new(b"other", b"d.1000." + body.encode(), hashlib.sha256).digest()).decode()
    assert not is_genuine({**headers, "x-mlflow-signature": f"v1,{empty}"}, body.encode(), "secret", 1100.0)


def test_steps_that_do_not_grow_are_refused():
    with pytest.raises(ValueError, match="must grow"):
        ServingConfig(rollout_steps=(0.5, 0.25))
