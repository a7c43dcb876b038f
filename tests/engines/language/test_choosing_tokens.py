"""Choosing the next token: greedy, drawn, cut; the same seed gives the same draw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tunewright.engines.interface import Sampling
from tunewright.engines.sampling import Chooser, log_softmax

LOGITS = arrays(np.float32, 12, elements=st.floats(-20, 20, width=32))


@given(LOGITS)
def test_greedy_takes_the_likeliest_and_tells_how_likely_it_was(logits):
    token, score = Chooser(Sampling(logprobs=3)).choose(logits)
    assert logits[token] == logits.max()
    assert score.logprob == pytest.approx(float(log_softmax(logits)[token]))
    assert len(score.alternatives) == 3
    assert score.alternatives[0][1] == pytest.approx(score.logprob)


@given(LOGITS, st.integers(1, 12), st.floats(0.05, 1), st.integers(0, 2**31))
def test_draws_stay_within_the_cuts_and_repeat(logits, top_k, top_p, seed):
    sampling = Sampling(temperature=0.7, top_k=top_k, top_p=top_p, seed=seed, logprobs=-1)
    chooser, again = Chooser(sampling), Chooser(sampling)
    drawn = [chooser.choose(logits)[0] for _ in range(5)]
    assert drawn == [again.choose(logits)[0] for _ in range(5)]
    kept = np.argsort(-logits, kind="stable")[:top_k]
    assert set(drawn) <= set(kept.tolist())


def test_draws_follow_the_probabilities():
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))
    drawn = [Chooser(Sampling(temperature=1.0, seed=seed)).choose(logits)[0] for seed in range(4000)]
    assert np.bincount(drawn, minlength=4) / 4000 == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)
    nucleus = [
        Chooser(Sampling(temperature=1.0, top_p=0.6, seed=seed)).choose(logits)[0] for seed in range(500)
    ]
    assert set(nucleus) == {0, 1}
