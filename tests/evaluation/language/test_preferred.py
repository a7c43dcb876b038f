"""How often a model holds the chosen answer of a preference more likely than the rejected one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from written_answers import answers_of

from tunewright.config.language import GenerationConfig
from tunewright.config.schema import EvaluationConfig
from tunewright.data.chat.rows import ChatRow, Message
from tunewright.evaluation.language.answers import Answers
from tunewright.evaluation.language.asking import answer_rows
from tunewright.evaluation.language.compare import compare
from tunewright.evaluation.language.figures import row_scores, score_rows
from tunewright.evaluation.language.metrics import measure
from tunewright.evaluation.language.page import render
from tunewright.evaluation.language.report import LanguageReport, build_report
from tunewright.models.language.writing import Written
from tunewright.registry.language_gate import decide
from tunewright.support.errors import TunewrightError

CONFIG = EvaluationConfig(
    bootstrap_samples=100, worst_mistakes=3, generation=GenerationConfig(primary_metric="preferred")
)
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token if m.role == 'assistant' }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


class PerWord:
    """A model to which each word of an answer costs as much as it says, a word that it doesn't know 1."""

    def __init__(self, **costs):
        self.costs = costs

    def write(self, rows, *, max_new_tokens, batch_size):  # noqa: ARG002
        return [Written("so", 2, finished=True) for _ in rows]

    def losses(self, rows, *, batch_size):  # noqa: ARG002
        answers = [(row.completion or (*row.messages, *row.chosen)[-1].content).split() for row in rows]
        return [(sum(self.costs.get(word, 1.0) for word in words), len(words)) for words in answers]


def turns(*contents):
    return tuple(
        Message(role="assistant" if at % 2 else "user", content=text) for at, text in enumerate(contents)
    )


def pair(chosen, rejected, asked="how?", **fields):
    (first, better), (_, worse) = turns(asked, chosen), turns(asked, rejected)
    return ChatRow(kind="preference", messages=(first,), chosen=(better,), rejected=(worse,), **fields)


def asked_of(writer, rows, name="tuned", role="tuned"):
    return answer_rows(writer, rows, name=name, role=role, config=GenerationConfig())


def test_the_whole_answer_counts_so_that_a_long_one_costs_more_than_a_short_one():
    model = PerWord(yes=0.4, no=0.9)
    found = asked_of(
        model, [pair("yes", "no"), pair("no", "yes"), pair("yes yes yes", "no"), pair("no", "no")]
    )
    assert [one.preferred for one in found.answers] == [True, False, False, False]
    assert row_scores(found, "preferred").tolist() == [1.0, 0.0, 0.0, 0.0]
    assert measure(found).preferred == 0.25
    assert (found.answers[0].reference, found.answers[0].rejected) == ("yes", "no")


def test_rows_that_compare_nothing_have_no_such_figure():
    others = [
        ChatRow(kind="completion", prompt="how?", completion="yes"),
        ChatRow(kind="conversation", messages=turns("how?", "yes")),
        ChatRow(kind="rated", messages=turns("how?"), chosen=turns("how?", "yes")[1:], good=True),
    ]
    found = asked_of(PerWord(yes=0.4), [*others, pair("yes", "no")])
    assert np.isnan(row_scores(found, "preferred")).tolist() == [True, True, True, False]
    assert measure(found).preferred == 1.0
    assert measure(found.take([0, 1, 2])).preferred is None
    assert "preferred" not in measure(found.take([0, 1, 2])).summary


def test_a_prompt_that_leaves_no_token_of_an_answer_tells_nothing():
    found = asked_of(PerWord(), [pair("yes", " "), pair("yes", "no no")])
    assert [one.preferred for one in found.answers] == [None, True]


def test_a_rejected_answer_without_a_number_for_its_likelihood_is_refused():
    with pytest.raises(TunewrightError, match="diverged"):
        asked_of(PerWord(no=math.nan), [pair("yes", "no")])


def test_a_real_model_scores_both_answers_alike_whichever_is_the_chosen_one(shared, tmp_path):
    from tunewright.models.chat.tokenizer import open_chat_tokenizer
    from tunewright.models.language.loading import load_causal
    from tunewright.models.language.model import LanguageModel

    folder = shared / "models" / "stories260K-hf"
    (tmp_path / "template.jinja").write_text(TEMPLATE)
    chat = open_chat_tokenizer(folder, template=tmp_path / "template.jinja")
    model = LanguageModel(chat, load_causal(folder, chat), max_length=128)
    rows = [
        pair("She was very happy.", "purple the of seven at", "Once upon a time, there was a girl."),
        pair("It was a big, red ball.", "It was a ball of of big a red.", "Tom saw a ball."),
    ]
    turned = [row.model_copy(update={"chosen": row.rejected, "rejected": row.chosen}) for row in rows]
    there, back = (asked_of(model, each).answers for each in (rows, turned))
    assert [one.preferred for one in there] == [True, True]
    assert [one.preferred for one in back] == [False, False]
    for one, other in zip(there, back, strict=True):
        assert one.reference_loss == pytest.approx(other.rejected_loss, rel=1e-5)
        assert one.rejected_loss == pytest.approx(other.reference_loss, rel=1e-5)


def test_the_figure_survives_the_file_and_files_from_before_it_still_open(tmp_path):
    import pyarrow.parquet as pq

    path = tmp_path / "answers.parquet"
    found = asked_of(PerWord(yes=0.4), [pair("yes", "no"), pair("no", "yes")])
    found.save(path)
    assert Answers.load(path) == found
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["rejected", "rejected_loss"]), path)
    old = Answers.load(path)
    assert old == replace(
        found, answers=tuple(replace(one, rejected=None, rejected_loss=None) for one in found.answers)
    )
    assert measure(old).preferred is None
    both = compare(score_rows(found), score_rows(old), config=CONFIG, seed=1)
    assert both.of("preferred") is None
    assert both.of("exact_match").rows == 2


def two_models(count=120):
    """A model that has learned to prefer, and its base; beside each preference stands another row."""
    pairs = [
        pair("yes", "no", f"how {at}?") if at % 4 else pair("maybe", "no", f"how {at}?")
        for at in range(count)
    ]
    plain = [ChatRow(kind="completion", prompt=f"and {at}?", completion="yes") for at in range(count)]
    return (
        asked_of(PerWord(yes=0.4, maybe=2), [*pairs, *plain]),
        asked_of(PerWord(no=0.4, maybe=0.2), [*pairs, *plain], "base", "base"),
    )


def test_it_heads_the_report_and_decides_at_the_gate():
    tuned, base = two_models()
    report = build_report([tuned, base], config=CONFIG, seed=1)
    assert report.headline.startswith(
        "tuned is better than base: chosen answers preferred 75.0 % against 25.0 % (+50.0 points, 95 % interval +"
    )
    assert report.headline.endswith("on 120 rows.")
    one = report.comparisons[0].of("preferred")
    assert (one.discordance.only_a, one.discordance.only_b) == (90, 30)
    assert report.slice_metric == "preferred"
    assert any(part.difference for part in report.slices)
    assert LanguageReport.model_validate_json(report.model_dump_json()) == report
    verdict = decide(
        score_rows(tuned), None, score_rows(base), metric=report.slice_metric, config=CONFIG, seed=1
    )
    assert (verdict.decision, verdict.metric, verdict.rows) == ("promote", "preferred", 120)
    page = render(report)
    assert "chosen answers preferred" in page
    assert "<h4>rejected</h4>" in page
    alone = build_report([tuned], config=CONFIG, seed=1)
    assert alone.headline.startswith("tuned has chosen answers preferred 75.0 %")
    assert "on 120 rows" in alone.headline


def test_a_runs_table_and_the_list_of_versions_have_a_column_for_it():
    from tunewright.pipeline.headline import columns, listed

    tuned, base = two_models(8)
    report = build_report([tuned, base], config=CONFIG, seed=1)
    assert columns(report.model_dump(mode="json"))["preferred"] == "preferred"
    assert "preferred" in listed([{"metrics": report.models[0].metrics.summary}])
    others = build_report([answers_of(["yes"], ["no"])], config=EvaluationConfig(), seed=1)
    assert "preferred" not in columns(others.model_dump(mode="json"))


def test_a_report_from_before_it_still_opens_and_other_rows_show_no_such_line():
    report = build_report(
        [answers_of(["yes"], ["yes"])], config=EvaluationConfig(bootstrap_samples=100), seed=1
    )
    assert "chosen answers preferred" not in render(report)
    facts = report.model_dump(mode="json")
    del facts["models"][0]["metrics"]["preferred"]
    for example in [*facts["examples"]["worst"]]:
        del example["rejected"]
    assert LanguageReport.model_validate(facts) == report


def test_where_no_row_compares_anything_perplexity_heads_the_report_instead():
    report = build_report([answers_of(["yes"], ["no"])], config=CONFIG, seed=1)
    assert report.primary_metric == "perplexity"
    assert any("No row has the figure chosen answers preferred" in note for note in report.notes)
    assert report.examples.worst[0].rejected is None


def test_rows_that_only_one_of_two_models_could_score_are_not_compared():
    tuned, base = two_models(40)
    first, *others = base.answers
    lacking = replace(base, answers=(replace(first, rejected_loss=None), *others))
    found = compare(score_rows(tuned), score_rows(lacking), config=CONFIG, seed=1).of("preferred")
    assert found.rows == 39
