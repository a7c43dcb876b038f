"""Agreement figures against published and independent ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from tunewright.evaluation.agreement import agreement, krippendorff_alpha

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C: a line an observer, a column a unit.
OBSERVERS = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


def test_alpha_is_the_one_published():
    units = ["".join(given).replace(".", "") for given in zip(*OBSERVERS, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


labels = st.sampled_from("abc")


@given(st.lists(st.tuples(labels, labels), min_size=2, max_size=40))
def test_kappa_is_that_of_scikit_learn_and_percent_the_share_of_equal_pairs(pairs):
    found = agreement({str(n): {"x": a, "y": b} for n, (a, b) in enumerate(pairs)})
    assert found.percent == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    if len({label for pair in pairs for label in pair}) > 1:
        first, second = zip(*pairs, strict=True)
        assert found.kappa == pytest.approx(cohen_kappa_score(first, second))
    else:
        assert found.kappa is None
        assert found.alpha is None


def test_perfect_agreement_is_one_and_rows_of_one_annotator_say_nothing():
    found = agreement({"1": {"x": "a", "y": "a"}, "2": {"x": "b", "y": "b"}, "3": {"x": "a"}})
    assert (found.rows, found.percent, found.kappa, found.alpha) == (2, 1, 1, 1)
    assert found.annotators == {"x": 3, "y": 2}
    alone = agreement({"1": {"x": "a"}, "2": {"x": "b"}})
    assert (alone.rows, alone.percent, alone.kappa, alone.alpha) == (0, None, None, None)


def test_three_annotators_have_no_kappa_and_an_alpha():
    found = agreement(
        {str(n): dict(zip("xyz", votes, strict=True)) for n, votes in enumerate(["aab", "bbb", "aaa"])}
    )
    assert found.kappa is None
    assert found.percent == pytest.approx((1 / 3 + 1 + 1) / 3)
    assert 0 < found.alpha < 1
