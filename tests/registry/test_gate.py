from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from tunewright.config.schema import EvaluationConfig, Gate
from tunewright.evaluation.comparison import exact_p
from tunewright.evaluation.latency import Latency
from tunewright.evaluation.predictions import Predictions, log_softmax
from tunewright.registry.gate import Verdict, decide
from tunewright.support.errors import InputError

CONFIG = EvaluationConfig(bootstrap_samples=200)
NAMES = ("ham", "spam")


def answers(labels, right, *, name, sure=2.5, latency=None, size=None, rows=None, count=2):
    logits = np.zeros((len(labels), count))
    predicted = np.where(right, labels, (labels + 1) % count)
    logits[np.arange(len(labels)), predicted] = sure
    return Predictions(
        name,
        "tuned",
        np.arange(len(labels)) if rows is None else rows,
        labels,
        log_softmax(logits),
        None if latency is None else Latency(latency / 2, latency, 100.0),
        size,
    )


def two_models(generator, rows, new, old, *, shared=0.8):
    """Answers of two models that tend to fail on the same rows."""
    labels = generator.integers(0, 2, rows)
    common = generator.normal(size=rows)
    right = [
        np.sqrt(shared) * common + np.sqrt(1 - shared) * generator.normal(size=rows)
        < NormalDist().inv_cdf(accuracy)
        for accuracy in (new, old)
    ]
    return answers(labels, right[0], name="challenger"), answers(labels, right[1], name="champion")


def judged(
    challenger, incumbent, *, config=CONFIG, slices=None, trivial=None, base=None, names=NAMES
) -> Verdict:
    if trivial is None:
        trivial = answers(challenger.labels, challenger.labels == 0, name="majority", rows=challenger.rows)
    return decide(
        challenger,
        incumbent,
        label_names=names,
        slices=slices or {},
        config=config,
        trivial=trivial,
        base=base,
        seed=1,
    )


def counted(wins, losses, both, neither=20, **latency_and_size):
    """A challenger alone right on ``wins`` rows, a champion alone on ``losses``, half of them of each label."""
    right_new = np.repeat([True, False, True, False], [wins, losses, both, neither])
    right_old = np.repeat([False, True, True, False], [wins, losses, both, neither])
    labels = np.arange(len(right_new)) % 2
    return (
        answers(labels, right_new, name="challenger", **latency_and_size),
        answers(labels, right_old, name="champion", latency=10.0, size=1000),
    )


# How often it is wrong


def test_the_chance_of_promoting_an_equal_model_is_at_most_five_in_a_hundred_by_computation():
    for discordant in range(1, 150):  # rows on which one alone is right: then each is a fair coin
        fewest = next(
            wins
            for wins in range(discordant // 2, discordant + 2)
            if exact_p(wins, discordant - wins) <= 0.05
        )
        assert binom.sf(fewest - 1, discordant, 0.5) <= 0.05


@pytest.mark.parametrize("rows", [200, 500, 1000, 5000])
def test_two_trainings_of_one_quality_are_promoted_at_most_five_times_in_a_hundred(rows):
    generator = np.random.default_rng(rows)
    repeats, promoted, higher = 15 if rows == 5000 else 40, 0, 0
    accuracies = (0.8, 0.9, 0.95, 0.99)
    for accuracy in accuracies:
        for _ in range(repeats):
            new, old = two_models(generator, rows, accuracy, accuracy)
            promoted += judged(new, old).decision == "promote"
            higher += new.correct.sum() > old.correct.sum()
    trials = repeats * len(accuracies)
    assert promoted / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert higher / trials > 0.3  # what "the higher number wins" would have promoted


@given(st.integers(1, 2000), st.floats(0.3, 1), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_the_same_answers_are_never_promoted(rows, accuracy, seed):
    model, _ = two_models(np.random.default_rng(seed), rows, min(accuracy, 0.999), 0.5)
    verdict = judged(model, model)
    assert verdict.decision == ("keep" if rows >= CONFIG.gate.min_rows else "cannot_tell")


def test_a_worse_model_is_hardly_ever_promoted_and_a_better_one_with_enough_rows_is():
    generator = np.random.default_rng(3)
    worse = [judged(*two_models(generator, 1000, 0.89, 0.9)).decision for _ in range(50)]
    assert worse.count("promote") <= 2
    better = [judged(*two_models(generator, 3000, 0.92, 0.9)).decision for _ in range(30)]
    assert better.count("promote") >= 25
    assert better.count("keep") == 0


# What it answers


def test_a_proven_gain_is_promoted_with_its_figures():
    verdict = judged(*counted(40, 10, 930))
    assert verdict.decision == "promote"
    assert verdict.summary.startswith("Promote challenger over the champion champion: on 1,000 rows")
    assert verdict.against_incumbent.only_a_right == 40
    assert verdict.rows_needed is None
    assert verdict.thresholds["alpha"] == 0.05
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_too_little_evidence_asks_for_rows():
    verdict = judged(*counted(12, 8, 280, 0))
    assert verdict.decision == "cannot_tell"
    assert 1000 < verdict.rows_needed < 4000
    assert "more labelled rows needed" in verdict.summary


def test_the_rows_asked_for_give_the_asked_power():
    verdict = judged(*counted(15, 9, 476, 0))
    total = verdict.rows + verdict.rows_needed
    generator = np.random.default_rng(1)
    draws = generator.multinomial(total, [15 / 500, 9 / 500, 476 / 500], size=40)
    decisions = [
        judged(*counted(int(wins), int(losses), int(both), 0)).decision for wins, losses, both in draws
    ]
    assert 0.6 < decisions.count("promote") / 40 < 0.97  # 0.8 was asked for


def test_a_gain_that_would_have_shown_by_now_keeps_the_champion():
    verdict = judged(*counted(52, 50, 4900, 0))
    assert verdict.decision == "keep"
    assert "a gain of 1 points should have shown" in verdict.summary


def test_few_rows_decide_nothing():
    verdict = judged(*counted(20, 0, 0, 0))
    assert verdict.decision == "cannot_tell"
    assert verdict.rows_needed >= 80
    one = answers(np.array([1]), np.array([True]), name="challenger")
    assert judged(one, answers(np.array([1]), np.array([False]), name="champion")).decision == "cannot_tell"


def test_a_worse_challenger_keeps_the_champion():
    verdict = judged(*counted(10, 40, 930))
    assert verdict.decision == "keep"
    assert "the champion is more often right" in verdict.reasons


def test_accuracy_cannot_hide_a_fall_of_the_rare_label():
    labels = np.repeat([0, 1], [1900, 100])
    old = np.concatenate([np.arange(1900) >= 120, np.arange(100) >= 10])
    new = np.concatenate([np.arange(1900) >= 20, np.arange(100) >= 85])
    config = EvaluationConfig(bootstrap_samples=500, gate=Gate(max_slice_loss=1))
    verdict = judged(answers(labels, new, name="new"), answers(labels, old, name="old"), config=config)
    assert verdict.against_incumbent.p_a_better_exact < 0.05
    assert verdict.decision == "keep"
    assert "macro F1 fell" in verdict.summary


def test_the_order_of_rows_changes_nothing():
    new, old = two_models(np.random.default_rng(2), 400, 0.9, 0.85)
    order = np.random.default_rng(3).permutation(400)
    slices = {"first half": np.arange(400) < 200}
    shuffled = {"first half": slices["first half"][order]}
    trivial = answers(new.labels, new.labels == 0, name="majority")
    before = judged(new, old, slices=slices, trivial=trivial)
    assert judged(new.take(order), old, slices=shuffled, trivial=trivial) == before


# Guard rails


@pytest.mark.parametrize(
    ("cost", "said"),
    [({"latency": 15.1}, "guard rail latency: 95th percentile"), ({"size": 2001}, "guard rail size: size")],
)
def test_a_better_but_dearer_model_is_kept_back(cost, said):
    verdict = judged(*counted(40, 10, 930, **{"latency": 10.0, "size": 1000, **cost}))
    assert verdict.decision == "keep"
    assert said in verdict.summary


def test_a_cost_that_nobody_measured_is_said():
    verdict = judged(*counted(40, 10, 930))
    assert verdict.decision == "promote"
    assert "latency: latency was not measured for both" in verdict.notes


def test_false_confidence_is_kept_back():
    new, old = counted(40, 10, 750, 200)
    sure = answers(new.labels, new.correct, name="challenger", sure=12.0)
    verdict = judged(sure, answers(old.labels, old.correct, name="champion", sure=1.2))
    assert verdict.decision == "keep"
    assert "guard rail calibration" in verdict.summary


def test_a_slice_that_falls_is_kept_back_and_named():
    new, old = counted(80, 30, 890, 0)
    slices = {"file b.csv": np.isin(np.arange(1000), np.arange(80, 180))}  # holds all the losses
    verdict = judged(new, old, slices=slices)
    assert verdict.decision == "keep"
    assert "(file b.csv)" in verdict.summary


def test_many_slices_do_not_stop_an_equal_or_better_model_by_chance():
    generator = np.random.default_rng(8)
    broken = 0
    for _ in range(40):
        new, old = two_models(generator, 2000, 0.9, 0.9, shared=0.5)
        part = generator.integers(0, 40, 2000)
        slices = {f"part {number}": part == number for number in range(40)}
        broken += any(not rail.held for rail in judged(new, old, slices=slices).guard_rails)
    assert broken <= 6  # 5 % of 40, and room for luck


def test_small_slices_do_not_vote():
    new, old = counted(80, 25, 895, 0)
    verdict = judged(new, old, slices={"tiny": np.isin(np.arange(1000), np.arange(80, 105))})
    assert verdict.decision == "promote"
    assert "don't vote" in verdict.guard_rails[-1].sentence


# Rows that differ


def test_rows_that_only_one_model_answered_are_left_out_and_said():
    new, old = counted(40, 10, 930)
    verdict = judged(new, old.take(np.arange(900)), slices={"late": np.arange(1000) >= 850})
    assert verdict.rows == 900
    assert "100 rows that only one of the two has answered are left out" in verdict.notes


def test_models_with_other_labels_are_refused():
    new, _ = counted(40, 10, 930)
    with pytest.raises(InputError, match="one knows 2 labels, the other 3"):
        judged(new, answers(new.labels, new.correct, name="old", count=3))


# The first champion


def test_the_first_model_that_beats_the_trivial_one_is_promoted():
    new, _ = two_models(np.random.default_rng(4), 300, 0.95, 0.9)
    verdict = judged(new, None)
    assert verdict.decision == "promote"
    assert verdict.incumbent is None
    assert verdict.summary.startswith("Promote challenger as the first champion")


def test_the_first_model_must_not_fall_behind_the_untouched_base():
    new, base = two_models(np.random.default_rng(4), 600, 0.85, 0.95)
    verdict = judged(new, None, base=base)
    assert verdict.decision == "keep"
    assert "the untouched base is more often right" in verdict.reasons


def test_the_first_model_that_knows_nothing_is_not_promoted():
    generator = np.random.default_rng(5)
    labels = (generator.random(1000) < 0.13).astype(int)
    trivial = answers(labels, labels == 0, name="majority")
    verdict = judged(answers(labels, labels == 0, name="challenger"), None, trivial=trivial)
    assert verdict.decision == "keep"
    for _ in range(20):
        guessing = answers(labels, generator.random(1000) < 0.5, name="challenger")
        assert judged(guessing, None, trivial=trivial).decision == "keep"


def test_the_first_model_for_a_very_rare_label_counts_by_recall():
    labels = np.repeat([0, 1], [1960, 40])
    right = np.concatenate(
        [np.arange(1960) >= 15, np.arange(40) < 18]
    )  # no more often right than "never spam"
    verdict = judged(
        answers(labels, right, name="challenger"), None, trivial=answers(labels, labels == 0, name="majority")
    )
    assert verdict.decision == "promote"
    assert "mean recall of the labels" in verdict.summary


def test_the_first_model_on_few_rows_cannot_be_told():
    new, _ = two_models(np.random.default_rng(6), 60, 0.95, 0.9)
    verdict = judged(new, None)
    assert verdict.decision == "cannot_tell"
    assert verdict.rows_needed >= 40
