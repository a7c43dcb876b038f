import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_answers import answers_of, sentences, spoilt

from tunewright.config.language import GenerationConfig
from tunewright.evaluation.language.figures import METRIC_NAMES, METRICS, row_scores, score_rows
from tunewright.evaluation.language.metrics import LanguageMetrics, measure
from tunewright.evaluation.language.rules import AnswerRules, matches, rules, same_value
from tunewright.evaluation.language.texts import refuses, repetition, token_f1
from tunewright.support.errors import InputError

TEXTS = st.text(max_size=40) | st.lists(
    st.sampled_from(["a", "the", "cat", "Dog", "1", ".", ",", "é", "猫", "sat"]), max_size=12
).map(" ".join)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6)
BEST = {"share": 1.0, "score": 100.0}
OVERLAPS = ("exact_match", "token_f1", "chrf", "rouge_l", "rouge_1", "rouge_2")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=30)
@given(PAIRS)
def test_every_figure_lies_within_its_bounds(pairs):
    outputs, references = zip(*pairs, strict=True)
    metrics = measure(answers_of(outputs, references))
    for name, metric in METRICS.items():
        value = metrics.get(name)
        if name in {"valid", "preferred"}:
            assert value is None
            continue
        low, high = (1, math.inf) if metric.unit == "perplexity" else (0, BEST[metric.unit])
        assert low <= value <= high + 1e-9, name
    assert LanguageMetrics.model_validate_json(metrics.model_dump_json()) == metrics


@settings(deadline=None, max_examples=30)
@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_an_answer_that_equals_the_reference_is_as_good_as_can_be(texts):
    scored = score_rows(answers_of(texts, texts))
    for name in OVERLAPS:
        assert scored.rows(name) == pytest.approx([BEST[METRICS[name].unit]] * len(texts)), name
        assert scored.figure(name) == pytest.approx(BEST[METRICS[name].unit])
    if any(text.strip() for text in texts):
        assert scored.figure("bleu") == pytest.approx(100)


@settings(deadline=None, max_examples=40)
@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_figure(pairs, random):
    outputs, references = zip(*pairs, strict=True)
    answers = answers_of(outputs, references)
    positions = list(range(len(answers)))
    random.shuffle(positions)
    first, second = measure(answers).summary, measure(answers.take(positions)).summary
    assert first == pytest.approx(second)


@settings(deadline=None, max_examples=30)
@given(TEXTS, TEXTS)
def test_overlap_of_words_is_the_same_both_ways(one, other):
    assert token_f1(one, other) == token_f1(other, one)
    assert 0 <= repetition(one) <= 1


@settings(deadline=None, max_examples=80)
@given(JSON)
def test_a_json_value_equals_itself_however_it_is_written(value):
    import json

    rules_ = AnswerRules("json")
    compact, roomy = json.dumps(value, separators=(",", ":")), json.dumps(value, indent=3, sort_keys=True)
    assert rules_.same(compact, roomy)
    assert rules_.valid(compact)
    assert same_value(value, json.loads(compact))


def test_bleu_agrees_with_sacrebleu_and_rouge_with_rouge_score():
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU, CHRF

    generator = np.random.default_rng(3)
    references = [f"{text.capitalize()}, it said: 3.5 km." for text in sentences(30, generator)]
    outputs = [spoilt(text, 0.3, generator) for text in references]
    scored = score_rows(answers_of(outputs, references))
    assert scored.figure("bleu") == pytest.approx(BLEU().corpus_score(outputs, [references]).score)
    by_sentence = [
        CHRF().sentence_score(said, [right]).score for said, right in zip(outputs, references, strict=True)
    ]
    assert scored.figure("chrf") == pytest.approx(np.mean(by_sentence))
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    for name, theirs in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
        expected = [
            scorer.score(right, said)[theirs].fmeasure
            for said, right in zip(outputs, references, strict=True)
        ]
        assert scored.rows(name) == pytest.approx(expected)


def test_other_scripts_count_too():
    scored = score_rows(answers_of(["кошка сидит дома"], ["кошка спит дома"]))
    assert scored.figure("rouge_1") == pytest.approx(2 / 3)
    assert scored.figure("token_f1") == pytest.approx(2 / 3)


def test_token_f1_overlooks_case_punctuation_and_articles():
    assert token_f1("The Eiffel Tower!", "eiffel tower") == 1
    assert token_f1("in Paris", "Paris, France") == pytest.approx(0.5)
    assert token_f1("", "Paris") == 0
    assert token_f1("?", "!") == 0


def test_perplexity_weighs_tokens_not_rows():
    answers = answers_of(["x", "x"], ["one", "one two three four"], losses=[3.0, 4.0])
    assert measure(answers).perplexity == pytest.approx(math.exp(7 / 5))
    assert row_scores(answers, "perplexity") == pytest.approx([math.exp(3), math.e])


def test_plain_text_counts_for_the_perplexity_alone():
    answers = answers_of([None, "yes"], ["once upon a time", "yes"])
    metrics = measure(answers)
    assert (metrics.rows, metrics.answered, metrics.exact_match) == (2, 1, 1.0)
    assert np.isnan(row_scores(answers, "token_f1")[0])
    alone = measure(answers.take([0]))
    assert alone.token_f1 is None
    assert alone.lengths is None
    assert alone.perplexity > 1


def test_repetition_distinct_words_and_empty_answers_are_told():
    answers = answers_of(["so it is so it is so it is so it is", " "], ["it is", "no"])
    metrics = measure(answers)
    assert metrics.repetition == pytest.approx((1 - 3 / 9) / 2)
    assert metrics.empty == 0.5
    assert metrics.distinct_1 == pytest.approx(3 / 12)
    assert metrics.lengths.characters == pytest.approx((35 + 1) / 2)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("I’m sorry, but I can’t help with that.", True),
        ("I cannot  assist with this request.", True),
        ("Sorry for the delay: your parcel is on its way.", False),
        (f"{'Here is a long story. ' * 20} The robot said: I cannot assist.", False),
    ],
)
def test_refusals_are_known_by_how_they_begin(text, refused):
    assert refuses(text) is refused


def test_json_answers_are_judged_by_value_and_field():
    references = ['{"name": "Ada", "age": 36}', '{"name": "Bob", "age": 4, "vip": true}', '{"name": "Cy"}']
    outputs = ['{"age": 36.0, "name": "Ada"}', '{"name": "Bob", "age": 5, "vip": 1}', 'Sure: {"name": "Cy"}']
    metrics = measure(answers_of(outputs, references), AnswerRules("json"))
    assert metrics.exact_match == pytest.approx(1 / 3)
    assert metrics.valid == pytest.approx(2 / 3)
    assert [(one.name, one.rows, one.accuracy) for one in metrics.fields] == [
        ("name", 3, pytest.approx(2 / 3)), ("age", 2, 0.5), ("vip", 1, 0.0)
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["NaN", "[1, 2", "[" * 100_000, "```json\n{}\n```", ""])
def test_what_no_program_reads_is_no_json(text):
    assert not AnswerRules("json").valid(text)


def test_a_schema_is_followed(tmp_path):
    schema = tmp_path / "answer.json"
    schema.write_text(
        '{"type": "object", "required": ["label"], "properties": {"label": {"enum": ["a", "b"]}}}'
    )
    rules_ = rules(GenerationConfig(answer_format="json", json_schema="answer.json"), folder=tmp_path)
    assert rules_.valid('{"label": "a"}')
    assert not rules_.valid('{"label": "c"}')
    assert not rules_.valid("[]")


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        (None, "can't be read"),
        ("{", "is not JSON"),
        ('{"type": 3}', "is no JSON schema"),
        ("3", "is no JSON schema"),
    ],
)
def test_a_bad_schema_is_refused_before_anything_is_measured(tmp_path, text, fact):
    if text:
        (tmp_path / "answer.json").write_text(text)
    with pytest.raises(InputError, match=fact):
        rules(GenerationConfig(answer_format="json", json_schema="answer.json"), folder=tmp_path)


def test_a_schema_that_points_to_the_network_is_refused():
    with pytest.raises(InputError, match=r"example\.org"):
        AnswerRules("json", {"$ref": "https://example.org/schema.json"}).valid("1")


def test_a_pattern_must_match_the_whole_answer_and_can_not_take_for_ever():
    pattern = AnswerRules("regex", pattern=r"(yes|no)\.?")
    assert pattern.valid(" yes. \n")
    assert not pattern.valid("yes, sir")
    assert not matches(r"(a|aa)+$", "a" * 80 + "b")
    for config in (GenerationConfig(answer_format="regex"), GenerationConfig(pattern="(")):
        with pytest.raises(InputError):
            rules(config)


def test_no_rows_can_not_be_measured():
    with pytest.raises(InputError, match="no rows"):
        measure(answers_of([], []))
    assert set(METRICS) == set(METRIC_NAMES)
