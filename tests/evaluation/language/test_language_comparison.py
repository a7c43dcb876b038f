import numpy as np
import pytest
from written_answers import answers_of, sentences, spoilt

from tunewright.config.schema import EvaluationConfig
from tunewright.evaluation.language.answers import Answers
from tunewright.evaluation.language.compare import compare, intervals
from tunewright.evaluation.language.figures import METRICS, score_rows
from tunewright.support.errors import InputError

CONFIG = EvaluationConfig(bootstrap_samples=400)
QUICK = EvaluationConfig(bootstrap_samples=200)
CONTINUOUS = ("token_f1", "chrf", "bleu", "perplexity")


def two_models(rows, share_a, share_b, seed, words=14):
    generator = np.random.default_rng(seed)
    references = sentences(rows, generator, words)
    made = []
    for name, share in (("a", share_a), ("b", share_b)):
        outputs = [spoilt(text, share, generator) for text in references]
        losses = [words * share * (1 + 0.3 * generator.random()) for _ in references]
        made.append(score_rows(answers_of(outputs, references, name=name, losses=losses)))
    return made


def test_a_clearly_better_model_is_found_better_by_every_figure():
    a, b = two_models(80, 0.1, 0.5, seed=1)
    found = compare(a, b, config=CONFIG, seed=7)
    for name in ("exact_match", *CONTINUOUS, "rouge_l"):
        one = found.of(name)
        assert one.standing == "better", name
        assert one.p_two_sided < 0.02
        assert one.p_a_better < 0.02
        sign = METRICS[name].sign
        assert min(sign * one.difference.low, sign * one.difference.high) > 0
    back = compare(b, a, config=CONFIG, seed=7)
    assert back.of("perplexity").standing == "worse"
    assert back.of("bleu").difference.value == pytest.approx(-found.of("bleu").difference.value)
    assert back.of("token_f1").p_a_better > 0.95


def test_equal_models_are_rarely_told_apart():
    trials, alarms = 40, dict.fromkeys(("exact_match", *CONTINUOUS), 0)
    for seed in range(trials):
        found = compare(
            *two_models(25, 0.1, 0.1, seed=seed, words=8), config=QUICK, seed=seed, metrics=[*alarms]
        )
        for name in alarms:
            alarms[name] += found.of(name).standing != "as_good"
    # 5 % are to be expected: 2 of 40; 6 or more come about once in seventy times.
    assert all(count <= 5 for count in alarms.values()), alarms


def test_few_differing_rows_prove_nothing():
    references = [f"answer number {number}" for number in range(60)]
    wrong = ["none"] * 4 + references[4:]
    a, b = (
        score_rows(answers_of(one, references, name=name)) for one, name in ((references, "a"), (wrong, "b"))
    )
    found = compare(a, b, config=CONFIG, seed=1)
    assert found.of("token_f1").standing == "as_good"
    assert found.of("token_f1").p_two_sided == pytest.approx(2 / 2**4, abs=0.05)
    assert found.of("exact_match").discordance.only_a == 4
    assert found.same_outputs == 56


def test_the_same_answers_differ_in_nothing():
    a, _ = two_models(20, 0.3, 0.3, seed=2)
    found = compare(a, a, config=QUICK, seed=1)
    for one in found.differences:
        assert (one.difference.value, one.standing, one.p_two_sided) == (0, "as_good", 1.0)


def test_the_order_of_rows_changes_no_interval():
    a, b = two_models(30, 0.2, 0.4, seed=5)
    positions = np.random.default_rng(0).permutation(30)
    first = compare(a, b, config=QUICK, seed=3)
    second = compare(a.take(positions), b, config=QUICK, seed=3)
    for one, other in zip(first.differences, second.differences, strict=True):
        assert one.difference.low == pytest.approx(other.difference.low)
        assert one.p_two_sided == pytest.approx(other.p_two_sided)


def test_a_resampled_corpus_figure_is_that_of_the_rows_drawn():
    a, _ = two_models(40, 0.3, 0.3, seed=4)
    found = intervals(a, config=CONFIG, seed=1)
    for name in ("bleu", "perplexity", "token_f1"):
        one = found[name]
        assert one.low < one.value < one.high
        assert one.value == pytest.approx(a.figure(name))
    assert 0 <= found["exact_match"].low <= found["exact_match"].value


def test_only_shared_rows_are_compared_and_the_rest_is_told():
    a, b = two_models(10, 0.2, 0.2, seed=1)
    found = compare(a.take(range(8)), b.take(range(2, 10)), config=QUICK, seed=1)
    assert found.rows == 6
    assert "4 rows that only one" in found.notes[0]
    other = score_rows(Answers("c", "base", answers_of(["x"], ["other"]).answers))
    with pytest.raises(InputError, match="no row in common"):
        compare(a, other, config=QUICK, seed=1)


def test_perplexities_over_different_tokens_are_not_compared():
    references = ["one two three"] * 5
    a = answers_of(references, references)
    finer = Answers(
        "b", "base", tuple(type(one)(**{**{f: getattr(one, f) for f in one.__slots__}, "reference_tokens": 9})
                           for one in a.answers)
    )  # fmt: skip
    found = compare(score_rows(a), score_rows(finer), config=QUICK, seed=1)
    assert found.of("perplexity") is None
    assert "different tokens" in found.notes[0]
