"""Which rows are chosen to be labelled."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.evaluation.uncertainty import STRATEGIES, pick, uncertainty


def logits_of(*shares):
    with np.errstate(divide="ignore"):
        return np.log(np.array(shares, dtype=np.float64))


def no_vectors(positions):
    raise AssertionError("only the diverse pick asks for vectors")


def chosen(scores, *, free=None, rows=10, strategy="margin", share=0.0, seed=0, embed=no_vectors):
    free = np.arange(len(scores)) if free is None else free
    return pick(
        np.asarray(scores, float),
        free,
        rows=rows,
        strategy=strategy,
        random_share=share,
        seed=seed,
        embed=embed,
    )


def test_scores_are_those_of_the_definitions():
    logits = logits_of([0.5, 0.3, 0.2], [0.98, 0.01, 0.01], [1 / 3] * 3)
    assert uncertainty(logits, "least_confidence") == pytest.approx([0.5, 0.02, 2 / 3], abs=1e-6)
    assert uncertainty(logits, "margin") == pytest.approx([0.8, 0.03, 1], abs=1e-6)
    entropy = -(0.5 * math.log(0.5) + 0.3 * math.log(0.3) + 0.2 * math.log(0.2)) / math.log(3)
    assert uncertainty(logits, "entropy")[[0, 2]] == pytest.approx([entropy, 1], abs=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(st.lists(st.lists(st.floats(-60, 60), min_size=3, max_size=3), min_size=1, max_size=20))
def test_scores_stand_between_nought_and_one(strategy, logits):
    scores = uncertainty(np.array(logits), strategy)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_one_label_leaves_nothing_unsure():
    assert uncertainty(np.array([[3.0], [1.0]]), "entropy").tolist() == [0, 0]


@settings(deadline=None)
@given(
    scores=st.lists(st.floats(0, 1), min_size=1, max_size=60),
    rows=st.integers(1, 70),
    share=st.floats(0, 1),
    strategy=st.sampled_from(STRATEGIES),
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_choices_are_distinct_free_repeatable_and_as_many_as_asked(scores, rows, share, strategy, seed, data):
    free = np.array(sorted(data.draw(st.sets(st.integers(0, len(scores) - 1), min_size=1))))
    settings_ = {
        "free": free,
        "rows": rows,
        "strategy": strategy,
        "share": share,
        "seed": seed,
        "embed": lambda at: np.ones((len(at), 2)),
    }
    found, again = chosen(scores, **settings_), chosen(scores, **settings_)
    assert found.positions.tolist() == again.positions.tolist() == sorted(set(found.positions.tolist()))
    assert set(found.positions.tolist()) <= set(free.tolist())
    assert len(found.positions) == min(rows, len(free))
    if strategy != "random":
        assert found.control.sum() == min(
            len(found.positions), math.ceil(share * len(found.positions) - 1e-9)
        )


def test_the_least_sure_are_taken_and_the_control_is_not_only_those():
    scores = np.linspace(0, 1, 1000)
    found = chosen(scores, rows=100, share=0.2)
    assert scores[found.positions[~found.control]].min() > 0.85
    assert scores[found.positions[found.control]].min() < 0.3
    assert found.control.sum() == 20


def test_the_random_strategy_asks_no_scores():
    flat = chosen(np.zeros(500), rows=50, strategy="random", seed=3)
    steep = chosen(np.linspace(0, 1, 500), rows=50, strategy="random", seed=3)
    assert flat.positions.tolist() == steep.positions.tolist()
    assert flat.control.all()


def test_equal_scores_are_not_taken_in_the_order_of_the_file():
    assert chosen(np.ones(1000), rows=10).positions.max() > 100


def test_the_diverse_pick_spreads_where_the_margin_takes_one_corner():
    random = np.random.default_rng(0)
    corners = random.integers(0, 8, 400)
    vectors = np.eye(8)[corners] + 0.01 * random.normal(size=(400, 8))
    scores = np.where(corners == 0, 0.9, 0.8) + 0.01 * random.random(400)
    margin = chosen(scores, rows=8)
    spread = chosen(scores, rows=8, strategy="diverse", embed=lambda at: vectors[at])
    assert set(corners[margin.positions]) == {0}
    assert len(set(corners[spread.positions])) >= 3, "eighty candidates hold more than one corner"
    wide = chosen(scores, rows=40, strategy="diverse", embed=lambda at: vectors[at])
    assert set(corners[wide.positions]) == set(range(8))
