import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
)

from tunewright.evaluation.calibration import expected_calibration_error, reliability
from tunewright.evaluation.metrics import confusion, score
from tunewright.evaluation.predictions import log_softmax
from tunewright.support.errors import InputError


@st.composite
def scored_rows(draw):
    count = draw(st.integers(2, 6))
    rows = draw(st.integers(1, 60))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = generator.integers(0, count, rows)
    return labels, log_softmax(generator.normal(size=(rows, count)) * 3), count


@given(scored_rows())
@settings(max_examples=60, deadline=None)
def test_figures_equal_those_of_scikit_learn(case):
    labels, log_probabilities, count = case
    names = [f"label {position}" for position in range(count)]
    found = score(labels, log_probabilities, names, bins=10)
    predicted = log_probabilities.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert found.accuracy == pytest.approx(accuracy_score(labels, predicted))
        assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, predicted))
        assert found.f1_macro == pytest.approx(f1_score(labels, predicted, average="macro"))
        precision, recall, f1, support = precision_recall_fscore_support(
            labels, predicted, labels=range(count), zero_division=0
        )
        assert list(found.precision.values()) == pytest.approx(list(precision))
        assert list(found.recall.values()) == pytest.approx(list(recall))
        assert list(found.f1.values()) == pytest.approx(list(f1))
        assert list(found.support.values()) == list(support)
        assert found.log_loss == pytest.approx(
            log_loss(labels, np.exp(log_probabilities.astype(float)), labels=range(count)), abs=1e-5
        )
    assert (
        confusion(labels, predicted, count) == confusion_matrix(labels, predicted, labels=range(count))
    ).all()


@given(scored_rows(), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_changes_nothing(case, seed):
    labels, log_probabilities, count = case
    order = np.random.default_rng(seed).permutation(len(labels))
    names = [str(position) for position in range(count)]
    before = score(labels, log_probabilities, names, bins=15).model_dump()
    after = score(labels[order], log_probabilities[order], names, bins=15).model_dump()
    for name, value in before.items():
        assert after[name] == (pytest.approx(value) if isinstance(value, float) else value)


def test_a_label_without_test_rows_is_named_and_counts_zero():
    found = score(
        np.array([0, 0]), log_softmax(np.array([[3.0, 0, 0], [0, 3.0, 0]])), ["a", "b", "c"], bins=5
    )
    assert found.labels_without_rows == ("b", "c")
    assert found.recall == {"a": 0.5, "b": 0.0, "c": 0.0}
    assert found.balanced_accuracy == 0.5  # over the labels that have rows
    assert found.f1_macro == pytest.approx((2 / 3 + 0) / 2)  # over those that have rows or were predicted


def test_one_row_is_enough():
    found = score(np.array([1]), log_softmax(np.array([[0.0, 2.0]])), ["a", "b"], bins=15)
    assert (found.rows, found.accuracy, found.f1_macro) == (1, 1.0, 1.0)


def test_a_probability_of_zero_stays_finite():
    log_probabilities = np.array([[0.0, -np.inf], [0.0, -np.inf]], dtype=np.float32)
    found = score(np.array([0, 1]), log_probabilities, ["a", "b"], bins=15)
    assert found.accuracy == 0.5
    assert np.isfinite(found.log_loss)
    assert found.ece == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("labels", "log_probabilities", "said"),
    [
        (np.zeros(0, int), np.zeros((0, 2)), "no rows"),
        (np.zeros(2, int), np.zeros((2, 3)), "2 labels"),
        (np.zeros(1, int), np.array([[np.nan, 0.0]]), "not numbers"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(labels, log_probabilities, said):
    with pytest.raises(InputError, match=said) as caught:
        score(labels, log_probabilities, ["a", "b"], bins=5)
    assert "\n" not in str(caught.value)


@given(scored_rows(), st.integers(2, 30))
@settings(max_examples=40, deadline=None)
def test_calibration_error_is_the_weighted_gap_of_the_bins(case, bins):
    labels, log_probabilities, _ = case
    table = reliability(labels, log_probabilities, bins=bins)
    assert sum(each.rows for each in table) == len(labels)
    gap = sum(each.rows * abs(each.confidence - each.accuracy) for each in table) / len(labels)
    assert expected_calibration_error(labels, log_probabilities, bins=bins) == pytest.approx(gap)
    for each in table:
        if each.rows:
            assert each.low - 1e-9 <= each.confidence <= each.high + 1e-9


def test_a_model_that_knows_its_confidence_is_calibrated():
    generator = np.random.default_rng(5)
    chance = generator.uniform(0.5, 1, 20_000)
    labels = (generator.random(20_000) > chance).astype(int)
    log_probabilities = np.log(np.stack([chance, 1 - chance], axis=1))
    assert expected_calibration_error(labels, log_probabilities, bins=15) < 0.015
    assert expected_calibration_error(1 - labels, log_probabilities, bins=15) > 0.4
