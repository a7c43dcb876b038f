"""Figures of answers that stream by equal those of the report."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.evaluation.counting import Count
from tunewright.evaluation.metrics import score

NAMES = ("a", "b", "c")


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=50))
def test_figures_are_those_of_the_metrics(pairs):
    count = Count(NAMES)
    for answer, truth in pairs:  # piece by piece
        count.add([NAMES[answer]], [NAMES[truth]])
    answers, truths = (np.array(column) for column in zip(*pairs, strict=True))
    logs = np.log(np.eye(3)[answers] * 0.8 + 0.1)
    whole = score(truths, logs, NAMES, bins=5)
    found = count.measured()
    assert found.accuracy == pytest.approx(whole.accuracy)
    assert found.f1_macro == pytest.approx(whole.f1_macro)
    assert found.f1 == pytest.approx({name: whole.f1[name] for name in found.f1})


def test_rows_without_a_known_label_are_answered_and_not_measured():
    count = Count(NAMES)
    count.add(["a", "b", "c"], ["a", None, "zebra"])
    assert (count.rows, count.measured().rows, count.measured().accuracy) == (3, 1, 1)
    assert dict(count.unknown) == {"zebra": 1}
    empty = Count(NAMES)
    empty.add(["a"], [None])
    assert empty.measured() is None
