import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_answers import predictions_from
from sklearn.metrics import f1_score

from tunewright.config.schema import EvaluationConfig
from tunewright.evaluation.bootstrap import resample
from tunewright.evaluation.comparison import align, compare, disagreements, exact_p, mid_p, rows_needed
from tunewright.evaluation.intervals import paired_difference, share
from tunewright.support.errors import InputError

CONFIG = EvaluationConfig()


@given(st.integers(0, 7), st.integers(0, 7))
@settings(deadline=None)
def test_mid_p_equals_counting_every_outcome(wins, losses):
    outcomes = [sum(flips) for flips in itertools.product((0, 1), repeat=wins + losses)]
    expected = (sum(each > wins for each in outcomes) + outcomes.count(wins) / 2) / len(outcomes)
    assert mid_p(wins, losses) == pytest.approx(expected)
    assert mid_p(wins, losses) + mid_p(losses, wins) == pytest.approx(1)
    assert exact_p(wins, losses) == pytest.approx(np.mean([each >= wins for each in outcomes]))


def test_mid_p_of_a_worked_example():
    # The example of Fagerland et al. 2013: 7 against 1 discordant pairs, two-sided mid-p 0.039.
    assert 2 * mid_p(7, 1) == pytest.approx(0.0391, abs=5e-5)


def test_rows_needed_agrees_with_simulation():
    gain, discordant, alpha, power = 0.02, 0.05, 0.05, 0.8
    rows = rows_needed(discordant_share=discordant, gain=gain, alpha=alpha, power=power)
    assert 750 < rows < 850  # about 800, as two points are known to need
    assert 2400 < rows_needed(discordant_share=0.04, gain=0.01, alpha=alpha, power=power) < 2700
    generator = np.random.default_rng(0)
    wins, losses, _ = generator.multinomial(
        rows, [(discordant + gain) / 2, (discordant - gain) / 2, 1 - discordant], size=1500
    ).T
    proven = np.mean([exact_p(int(a), int(b)) <= alpha for a, b in zip(wins, losses, strict=True)])
    assert abs(proven - power) < 0.04


def test_rows_needed_stays_finite_when_models_rarely_differ():
    assert rows_needed(discordant_share=0.0, gain=0.01, alpha=0.05, power=0.8) > 100


@pytest.mark.parametrize("truth", [0.5, 0.9, 0.99])
def test_the_interval_of_a_share_covers_the_truth_as_often_as_it_says(truth):
    right = np.random.default_rng(1).binomial(300, truth, size=2000)
    found = [share(int(count), 300, confidence=0.95) for count in right]
    covered = np.mean([each.low <= truth <= each.high for each in found])
    assert 0.92 < covered < 0.985


def test_the_interval_of_a_difference_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(2).multinomial(300, [0.04, 0.02, 0.94], size=2000)
    found = [paired_difference(int(a), int(b), 300, confidence=0.95) for a, b, _ in draws]
    covered = np.mean([each.low <= 0.02 <= each.high for each in found])
    assert 0.92 < covered < 0.99


def noisy(labels, accuracy, *, count, seed, name):
    generator = np.random.default_rng(seed)
    wrong = generator.random(len(labels)) > accuracy
    return predictions_from(labels, np.where(wrong, (labels + 1) % count, labels), count=count, name=name)


def labels_of(rows, count, seed=0):
    return np.random.default_rng(seed).integers(0, count, rows)


def test_a_comparison_counts_who_is_right():
    labels = np.array([0, 0, 1, 1, 1])
    a = predictions_from(labels, np.array([0, 1, 1, 1, 0]), count=2, name="a")
    b = predictions_from(labels, np.array([0, 0, 0, 0, 0]), count=2, name="b")
    found = compare(a, b, ["x", "y"], CONFIG, seed=1)
    assert (found.both_right, found.only_a_right, found.only_b_right, found.both_wrong) == (1, 2, 1, 1)
    assert found.accuracy.value == pytest.approx(0.2)
    assert found.same_answers == 2
    assert found.discordant == 3


@given(st.integers(1, 200), st.integers(2, 5), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_order_changes_nothing_and_sides_mirror(rows, count, seed):
    labels = labels_of(rows, count, seed)
    a, b = (
        noisy(labels, accuracy, count=count, seed=seed + n, name=f"m{n}")
        for n, accuracy in ((1, 0.8), (2, 0.7))
    )
    names = [str(position) for position in range(count)]
    config = EvaluationConfig(bootstrap_samples=100)
    order = np.random.default_rng(seed).permutation(rows)
    found = compare(a, b, names, config, seed=3)
    assert compare(a.take(order), b, names, config, seed=3) == found
    mirrored = compare(b, a, names, config, seed=3)
    assert mirrored.accuracy.value == pytest.approx(-found.accuracy.value)
    assert mirrored.p_a_better == pytest.approx(found.p_b_better)
    assert mirrored.p_two_sided == pytest.approx(found.p_two_sided)


def test_the_bootstrap_is_repeatable_by_seed_and_differs_between_seeds():
    labels = labels_of(300, 3)
    answers = (noisy(labels, 0.8, count=3, seed=1, name="a").predicted,)
    first, again, other = (
        resample(labels, answers, samples=200, seed=seed)[0].f1_macro for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_bootstrap_agrees_with_drawing_rows_one_by_one():
    labels = labels_of(200, 3)
    predicted = noisy(labels, 0.75, count=3, seed=4, name="a").predicted
    (found,) = resample(labels, (predicted,), samples=3000, seed=1)
    generator = np.random.default_rng(2)
    by_hand = []
    for _ in range(400):
        drawn = generator.integers(0, 200, 200)
        by_hand.append(f1_score(labels[drawn], predicted[drawn], average="macro"))
    assert found.f1_macro.mean() == pytest.approx(np.mean(by_hand), abs=0.004)
    assert found.f1_macro.std() == pytest.approx(np.std(by_hand), rel=0.15)
    assert found.accuracy.mean() == pytest.approx((labels == predicted).mean(), abs=0.004)


def test_a_comparison_of_many_rows_and_labels_is_quick():
    labels = labels_of(20_000, 77)
    a, b = (noisy(labels, 0.9, count=77, seed=n, name=f"m{n}") for n in (1, 2))
    start = time.process_time()
    compare(a, b, [str(position) for position in range(77)], CONFIG, seed=1)
    assert time.process_time() - start < 10


def test_identical_models_differ_by_nothing():
    labels = labels_of(400, 2)
    a = noisy(labels, 0.9, count=2, seed=1, name="a")
    found = compare(a, a, ["x", "y"], CONFIG, seed=1)
    assert found.p_two_sided == 1
    assert found.f1_macro.low == found.f1_macro.high == 0
    assert found.accuracy.low < 0 < found.accuracy.high  # equal on these rows doesn't prove equal on all


def test_rows_that_only_one_has_and_labels_that_changed_are_left_out_and_counted():
    labels = np.array([0, 1, 0, 1])
    a = predictions_from(labels, labels, count=2, name="a", rows=np.array([1, 2, 3, 4]))
    b = predictions_from(
        np.array([1, 0, 1, 0]), np.array([1, 0, 1, 1]), count=2, name="b", rows=np.array([4, 3, 2, 9])
    )
    left, right, notes = align(a, b)
    assert left.rows.tolist() == right.rows.tolist() == [2, 3, 4]
    assert notes == ("2 rows that only one of the two has answered are left out",)
    changed = predictions_from(1 - labels[:1], labels[:1], count=2, name="c", rows=np.array([1]))
    with pytest.raises(InputError, match="no row in common"):
        align(a, changed)


def test_models_that_cannot_be_compared_are_refused():
    a = predictions_from(np.array([0]), np.array([0]), count=2, name="a")
    with pytest.raises(InputError, match="one knows 2 labels, the other 3"):
        compare(
            a, predictions_from(np.array([0]), np.array([0]), count=3, name="b"), ["x", "y"], CONFIG, seed=1
        )
    twice = predictions_from(np.array([0, 0]), np.array([0, 0]), count=2, name="t", rows=np.array([7, 7]))
    with pytest.raises(InputError, match="'t': repeats a row"):
        compare(twice, a, ["x", "y"], CONFIG, seed=1)


def test_disagreements_show_texts_and_label_names():
    labels = np.array([0, 1, 1])
    a = predictions_from(labels, np.array([0, 1, 0]), count=3, name="a", rows=np.array([10, 11, 12]))
    b = predictions_from(labels, np.array([0, 0, 2]), count=3, name="b", rows=np.array([10, 11, 12]))
    found = disagreements(a, b, {11: "won a prize", 12: "see you"}, ["ham", "spam", "other"])
    assert [(each.row, each.text, each.truth, each.a, each.b, each.right) for each in found] == [
        (11, "won a prize", "spam", "spam", "ham", "a"),
        (12, "see you", "spam", "ham", "other", "neither"),
    ]
