import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from sample_answers import predictions_from

from tunewright.config.schema import EvaluationConfig, Recipe
from tunewright.evaluation.baselines import majority, tfidf
from tunewright.evaluation.latency import Latency
from tunewright.evaluation.page import write_report
from tunewright.evaluation.report import Report, build_report
from tunewright.support.errors import InputError, TunewrightError

RECIPE = Recipe(project="demo", evaluation=EvaluationConfig(bootstrap_samples=200, latency_samples=10))
HISTORY = [
    {"epoch": epoch, "step": 10 * epoch, "train/loss": 1 / epoch, "validation/loss": 1.2 / epoch,
     "validation/f1_macro": 1 - 0.3 / epoch, "validation/accuracy": 1 - 0.2 / epoch}
    for epoch in (1, 2, 3)
]  # fmt: skip
FIGURES = {
    "seconds": 12.5,
    "peak_memory_bytes": 800_000_000,
    "forecast": {"seconds": {"forecast": 10.0, "actual": 12.5}},
    "provenance": {"run_id": "run-4711", "commit": "abc1234", "versions": {"torch": "2.13.0"}},
}
NASTY = '<script>alert("x")</script> & $a_b$ </td>'


def rows(count):
    return [
        (f"where is parcel {n}", "ask") if n % 3 else (f"thank you number {n}", "thank") for n in range(count)
    ]


def answered(dataset, right, *, name, role, **cost):
    test = dataset.examples("test")
    labels, width = np.array(test.labels), len(dataset.label_names)
    predicted = np.where(right, labels, (labels + 1) % width)
    return predictions_from(
        labels, predicted, count=width, name=name, role=role, rows=np.array(test.ids), **cost
    )


@pytest.fixture
def dataset(make_dataset):
    return make_dataset(rows(40), rows(300))


def made(dataset, tuned_wrong, trivial_wrong):
    position = np.arange(300)
    tuned = answered(
        dataset, position % 100 >= tuned_wrong, name="tuned", role="tuned",
        latency=Latency(9.0, 20.0, 300.0), size_bytes=90_000_000,
    )  # fmt: skip
    trivial = answered(
        dataset, (position + 50) % 100 >= trivial_wrong, name="tfidf", role="trivial",
        latency=Latency(1.0, 2.0, 5000.0), size_bytes=1_000_000,
    )  # fmt: skip
    return build_report(dataset, [trivial, tuned], recipe=RECIPE, history=HISTORY, figures=FIGURES)


class Page(HTMLParser):
    """Collects tags, the addresses that they would load, and the text."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [
            value for name, value in attributes if name in {"src", "href", "xlink:href", "action"}
        ]

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page, re.sub(r"\s+", " ", "".join(page.text))


def test_a_clear_gain_says_that_the_language_model_helps(dataset):
    report = made(dataset, 2, 20)
    assert report.conclusion.standing == "better"
    assert report.headline == (
        "tuned beats the simple baseline tfidf: 98.0 % against 80.0 % of 300 test rows right,"
        " more than chance explains."
    )
    assert "9 ms an answer against 1 ms" in report.conclusion.detail


def test_a_baseline_that_is_as_good_is_said_plainly(dataset):
    report = made(dataset, 9, 10)
    assert report.conclusion.standing == "as_good"
    assert report.headline.startswith("The simple baseline tfidf is as good as tuned")
    assert "Use the simple one" in report.conclusion.detail


def test_a_better_baseline_is_said_plainly(dataset):
    assert made(dataset, 30, 5).headline.startswith("The simple baseline tfidf is better than tuned")


def test_without_a_baseline_the_question_stays_open(dataset):
    tuned = answered(dataset, np.ones(300, bool), name="tuned", role="tuned")
    report = build_report(dataset, [tuned], recipe=RECIPE, history=[], figures={})
    assert report.conclusion.standing is None
    assert "no simple baseline" in report.headline


def test_the_json_holds_the_whole_report_and_reads_back_the_same(dataset, tmp_path):
    report = made(dataset, 5, 10)
    write_report(report, tmp_path)
    text = (tmp_path / "report.json").read_text()
    assert Report.model_validate_json(text) == report
    facts = json.loads(text)
    assert [model["name"] for model in facts["models"]] == ["tuned", "tfidf"]
    assert facts["models"][0]["metrics"]["f1"].keys() == {"ask", "thank"}
    assert facts["comparisons"][0]["b"] == "tfidf"
    assert facts["figures"]["provenance"]["run_id"] == "run-4711"
    assert {each["name"] for each in facts["slices"]} >= {"file a.csv", "file b.csv"}


def test_the_page_stands_alone_and_shows_what_the_json_holds(dataset, tmp_path):
    report = made(dataset, 5, 10)
    page, text = read(write_report(report, tmp_path))
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert all(address.startswith("#") for address in page.addresses)
    assert page.tags.count("svg") == 5
    assert report.headline.replace(" %", "\u00a0%") in "".join(page.text)
    for shown in (
        "95.0",
        "run-4711",
        "abc1234",
        "2.13.0",
        "file a.csv",
        "thank",
        "800 MB",
        "Forecast and outcome",
    ):
        assert shown in text
    assert report.mistakes[0].text in text


def test_the_page_is_the_same_each_time(dataset, tmp_path):
    report = made(dataset, 5, 10)
    first, second = (write_report(report, tmp_path / name).read_bytes() for name in ("one", "two"))
    assert first == second
    assert len(first) < 200_000


def test_texts_and_labels_cannot_break_the_page(make_dataset, tmp_path):
    test = [(f"{NASTY} {n}", NASTY if n % 2 else "日本 $\\frac{1}{0}$") for n in range(60)]
    dataset = make_dataset(test[:4], test)
    tuned = answered(dataset, np.arange(60) % 3 > 0, name="tuned <b>", role="tuned")
    report = build_report(dataset, [tuned], recipe=RECIPE, history=[], figures={"provenance": {"by": NASTY}})
    page, text = read(write_report(report, tmp_path))
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert NASTY in text
    assert "$\\frac{1}{0}$" in text


def test_many_labels_show_the_most_frequent_confusions(make_dataset, tmp_path):
    test = [(f"text {n}", f"intent_{n % 30:02d}") for n in range(600)]
    dataset = make_dataset(test[:30], test)
    report = build_report(
        dataset, [answered(dataset, np.arange(600) % 7 > 0, name="tuned", role="tuned")],
        recipe=RECIPE, history=[], figures={},
    )  # fmt: skip
    assert len(report.confusion) == 30
    assert report.confusions[0].rows >= report.confusions[-1].rows > 0
    _, text = read(write_report(report, tmp_path))
    assert "most frequent pairs among 30 labels" in text
    assert "intent_29" in text


def test_the_surest_mistakes_come_first_with_the_answers_of_the_others(dataset):
    report = made(dataset, 10, 10)
    sure = [each.confidence for each in report.mistakes]
    assert sure == sorted(sure, reverse=True)
    assert len(sure) == RECIPE.evaluation.worst_mistakes
    assert report.mistakes[0].others.keys() == {"tfidf"}


def test_real_baselines_on_real_rows_make_a_report(dataset, tmp_path):
    train, test, names = dataset.examples("train"), dataset.examples("test"), dataset.label_names
    simple = [
        majority(train, test, names, RECIPE.evaluation),
        tfidf(train, test, names, RECIPE.evaluation, seed=1),
    ]
    report = build_report(dataset, simple, recipe=RECIPE, history=[], figures={})
    assert report.subject == "majority"
    assert report.models[1].metrics.accuracy == 1.0
    assert write_report(report, tmp_path).is_file()


def test_one_row_and_labels_without_rows_still_make_a_report(make_dataset, tmp_path):
    dataset = make_dataset(rows(6), rows(2)[1:])
    report = build_report(
        dataset, [answered(dataset, np.array([True]), name="tuned", role="tuned")],
        recipe=RECIPE, history=HISTORY[:1], figures={},
    )  # fmt: skip
    assert any("1 test rows are few" in note for note in report.notes)
    assert any("No test row has these labels" in note and "thank" in note for note in report.notes)
    assert "Every test row is answered right" in read(write_report(report, tmp_path))[1]


def test_curves_that_are_not_numbers_are_left_out_and_said(dataset):
    tuned = answered(dataset, np.ones(300, bool), name="tuned", role="tuned")
    history = [*HISTORY, {"epoch": 4, "step": 40, "train/loss": float("nan")}]
    report = build_report(dataset, [tuned], recipe=RECIPE, history=history, figures={"loss": float("inf")})
    assert "train/loss" not in report.history[-1]
    assert report.figures["loss"] is None
    assert any("not numbers" in note for note in report.notes)


def test_answers_about_other_rows_are_refused(dataset):
    tuned = answered(dataset, np.ones(300, bool), name="tuned", role="tuned")
    with pytest.raises(InputError, match="'tuned': has 10 answers that are not those of the 300 test rows"):
        build_report(dataset, [tuned.take(np.arange(10))], recipe=RECIPE, history=[], figures={})
    with pytest.raises(InputError, match="same name"):
        build_report(dataset, [tuned, tuned], recipe=RECIPE, history=[], figures={})
    with pytest.raises(InputError, match="no model"):
        build_report(dataset, [], recipe=RECIPE, history=[], figures={})


def test_a_folder_that_cannot_be_written_is_one_clear_line(dataset, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TunewrightError, match="can't be written") as caught:
        write_report(made(dataset, 5, 10), tmp_path / "file")
    assert "\n" not in str(caught.value)
