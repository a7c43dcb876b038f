import json
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_answers import answers_of, sentences, spoilt

from tunewright.config.language import GenerationConfig
from tunewright.config.schema import EvaluationConfig
from tunewright.evaluation.graph import Edge, Graph, Node
from tunewright.evaluation.intervals import Interval
from tunewright.evaluation.language.examples import marked
from tunewright.evaluation.language.harness import figures_of, run_tasks
from tunewright.evaluation.language.judge import Judgement
from tunewright.evaluation.language.page import render, write_report
from tunewright.evaluation.language.report import LanguageReport, build_report
from tunewright.evaluation.language.rules import AnswerRules
from tunewright.support.errors import InputError, TunewrightError

CONFIG = EvaluationConfig(bootstrap_samples=100, worst_mistakes=4)
NASTY = '<script>alert("x")</script> & </td> {{ 7*7 }} <img src=x onerror=alert(1)>'
LINEAGE = Graph(
    title="lineage", columns=("data", "model"),
    nodes=(Node(id="a", column=0, title="data"), Node(id="b", column=1, title="model")),
    edges=(Edge(start="a", end="b"),),
)  # fmt: skip
JUDGEMENT = Judgement(
    subject="tuned", rival="base", model="wise", rows=40, wins=30, losses=5, ties=5, contradictory=2, unclear=1,
    unanswered=0, win_rate=Interval(value=0.8125, low=0.67, high=0.9), asked=80,
)  # fmt: skip


class Page(HTMLParser):
    """What a browser would make of it: elements, their attributes, and the text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.open, self.text = [], [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "br", "wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def made(share_tuned=0.1, share_base=0.6, rows=40, seed=0, **settings):
    generator = np.random.default_rng(seed)
    references = sentences(rows, generator)
    prompts = [text[: 10 + at] for at, text in enumerate(references)]
    sources = ["a.jsonl" if at % 2 else "b.jsonl" for at in range(rows)]
    models = [
        answers_of(
            [spoilt(text, share, generator) for text in references], references, name=name, role=name,
            prompts=prompts, sources=sources, losses=[20 * share * (1 + generator.random()) for _ in references],
        )
        for name, share in (("base", share_base), ("tuned", share_tuned))
    ]  # fmt: skip
    return build_report(models, config=settings.pop("config", CONFIG), seed=1, **settings)


def test_the_headline_holds_tuned_against_base_with_an_interval():
    report = made()
    assert report.headline.startswith("tuned is better than base: token F1 ")
    assert "95 % interval +" in report.headline
    assert report.headline.endswith("on 40 rows.")
    assert (report.subject, report.rival, report.standing) == ("tuned", "base", "better")
    assert made(0.6, 0.1).headline.startswith("tuned is worse than base")
    assert made(0.3, 0.3).headline.startswith("tuned can't be told from base")
    perplexity = made(primary_metric="perplexity")
    assert "perplexity" in perplexity.headline
    assert perplexity.standing == "better"


def test_the_report_is_the_same_after_a_trip_through_json_and_says_its_headline(tmp_path, capsys):
    report = made(
        general_text=(10.0, 15.0), judgement=JUDGEMENT, lineage=LINEAGE,
        harness=figures_of({"tiny": {"alias": "tiny", "acc,none": 0.5, "acc_stderr,none": "N/A"}}, model="base"),
        figures={"seconds": 3.0, "loss": float("nan"), "provenance": {"commit": "abc"}},
    )  # fmt: skip
    page = write_report(report, tmp_path / "evaluation")
    assert report.headline in capsys.readouterr().err
    assert LanguageReport.model_validate(json.loads((page.parent / "report.json").read_text())) == report
    text = Page(page.read_text()).text
    for words in (
        "What was forgotten",
        "1.500",
        "What wise prefers",
        "Standard tasks",
        "Where tuned gained most",
        "abc",
    ):
        assert words in text, words


def test_the_page_needs_nothing_and_closes_what_it_opens():
    html = render(made(general_text=(10.0, 9.0), judgement=JUDGEMENT, lineage=LINEAGE))
    page = Page(html)
    assert page.open == []
    assert not {"script", "link", "iframe", "img", "object", "base"} & set(page.tags)
    assert not [value for name, value in page.attributes if name in {"src", "href"} or name.startswith("on")]
    assert "default-src 'none'" in html
    assert "{{" not in html
    assert "{%" not in html


def test_hostile_texts_stay_texts():
    texts = [f"{NASTY} {number}" for number in range(8)]
    models = [
        answers_of([f"{name} {text}" for text in texts], texts, name=f"{name}{NASTY}", role=name, prompts=texts,
                   sources=[NASTY] * 8)
        for name in ("base", "tuned")
    ]  # fmt: skip
    html = render(build_report(models, config=CONFIG, seed=1, project="demo", figures={NASTY: NASTY}))
    page = Page(html)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert NASTY in page.text.replace("\n", " ")
    assert "49" not in [piece.strip() for piece in page.text.split("{{")]


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=60), st.text(max_size=60))
def test_marking_differences_loses_no_character(text, other):
    assert "".join(piece.text for piece in marked(text, other)) == text
    assert not any(piece.differs for piece in marked(text, text))


def test_marks_stand_where_words_differ():
    pieces = marked("the red ball rolls", "the blue ball rolls")
    assert [(piece.text, piece.differs) for piece in pieces] == [
        ("the ", False), ("red", True), (" ball rolls", False)
    ]  # fmt: skip


def test_rows_to_read_are_ordered_by_what_they_show():
    examples = made().examples
    worst = [one.answers[-1].score for one in examples.worst]
    assert worst == sorted(worst)
    gained = [one.change for one in examples.gained]
    assert gained == sorted(gained, reverse=True)
    assert len(gained) == 4
    assert all(one.change < 0 for one in examples.lost)
    assert [shown.name for shown in examples.gained[0].answers] == ["base", "tuned"]


def test_slices_tell_length_file_and_json_field():
    references = [json.dumps({"label": "ab"[at % 2], "id": at}) for at in range(40)]
    wrong = [json.dumps({"label": "a", "id": at}) for at in range(40)]
    models = [
        answers_of(wrong, references, name="base", role="base"),
        answers_of(references, references, name="tuned", prompts=None),
    ]
    report = build_report(
        models, config=CONFIG, seed=1, primary_metric="exact_match", rules=AnswerRules("json")
    )
    by_name = {one.name: one for one in report.slices}
    assert by_name["label b"].others == {"base": 0.0}
    assert by_name["label b"].standing == "better"
    assert by_name["label a"].standing == "as_good"
    assert not [name for name in by_name if name.startswith("id ")]
    assert report.models[1].metrics.fields[1].accuracy == 0.5
    assert "By field of the JSON answers" in render(report)
    files = {one.name: one.rows for one in made().slices}
    assert files["file a.jsonl"] == files["file b.jsonl"] == 20
    assert sum(rows for name, rows in files.items() if name.startswith("prompt length")) == 40


def test_what_was_forgotten_is_told_and_warned_of_beyond_the_limit():
    strict = EvaluationConfig(bootstrap_samples=100, generation=GenerationConfig(max_forgetting=1.2))
    report = made(config=strict, general_text=(10.0, 15.0))
    assert report.forgetting.too_much
    assert any("1.50 times" in note for note in report.notes)
    assert not made(config=strict, general_text=(10.0, 11.0)).forgetting.too_much
    assert not made(general_text=(10.0, 15.0)).forgetting.too_much
    assert made(config=strict, general_text=(10.0, float("nan"))).forgetting.too_much


def test_the_judge_heads_the_report_where_it_was_asked():
    report = made(primary_metric="win_rate", judgement=JUDGEMENT)
    assert report.headline.startswith("tuned is better than base: wise prefers it in 81.2 % of 40 pairs")
    alone = made(primary_metric="win_rate")
    assert "token F1" in alone.headline
    assert any("No judge" in note for note in alone.notes)


def test_a_model_alone_and_plain_text_make_a_report_too():
    texts = ["once upon a time"] * 5
    alone = build_report([answers_of([None] * 5, texts)], config=CONFIG, seed=1)
    assert (alone.primary_metric, alone.standing, alone.rival) == ("perplexity", None, None)
    assert "no other model stands beside it" in alone.headline
    assert Page(render(alone)).open == []


def test_models_that_answered_other_rows_and_equal_names_are_refused():
    one, other = answers_of(["x"], ["y"]), answers_of(["x"], ["z"], name="base", role="base")
    with pytest.raises(InputError, match="no row in common"):
        build_report([one, other], config=CONFIG, seed=1)
    more = answers_of(["x", "x"], ["y", "y"], name="base", role="base")
    with pytest.raises(InputError, match="other rows"):
        build_report([one, more], config=CONFIG, seed=1)
    with pytest.raises(InputError, match="same name"):
        build_report([one, one], config=CONFIG, seed=1)
    with pytest.raises(InputError, match="no model"):
        build_report([], config=CONFIG, seed=1)


def test_a_folder_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TunewrightError, match="file"):
        write_report(made(rows=8), tmp_path / "file")


def test_the_harness_says_what_is_missing_and_does_nothing_unasked(tmp_path):
    assert run_tasks(tmp_path, (), model="tuned", batch_size=1) == ()
    try:
        import lm_eval  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match=r"pip install 'lm_eval\[hf\]'"):
            run_tasks(tmp_path, ("arc_easy",), model="tuned", batch_size=1)


def test_figures_of_the_harness_are_read_by_name():
    found = figures_of(
        {"t": {"alias": "t", "sample_len": 9, "acc,none": 0.25, "acc_stderr,none": 0.1,
               "em,strict": 1, "em_stderr,strict": "N/A"}},
        model="tuned",
    )  # fmt: skip
    assert [(one.metric, one.value, one.standard_error) for one in found] == [
        ("acc", 0.25, 0.1), ("em,strict", 1.0, None)
    ]  # fmt: skip
