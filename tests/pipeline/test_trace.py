"""From a version to its rows, and from a row to all that it went into, in a project with a past."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from sessions import call, done
from traced import KEY, LONG, NEW, RELABELLED, UNSURE, Past, lived
from versioned import copied, git, know_ada

from tunewright import Project
from tunewright.pipeline.tracing.facts import RowTrace, VersionTrace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def past(template, tmp_path_factory) -> Past:
    """The project; tests must leave it as it is."""
    with pytest.MonkeyPatch.context() as patch:
        know_ada(patch, tmp_path_factory.mktemp("home"))
        yield lived(copied(template, tmp_path_factory.mktemp("traced") / "shop"))


def traced(past, *words):
    return done(past.folder, "trace", *words, "--json").facts


def commits(past):
    """Return the commits of the data versions, oldest first."""
    return [each["commit"] for each in done(past.folder, "data", "log", "--json").facts[::-1]]


def test_a_relabelled_row_shows_both_labels_with_their_commits(past):
    text, before, after = past.relabelled
    facts = traced(past, "--text", text)
    first, second, third = commits(past)
    assert [(each["commit"], each["label"]) for each in facts["data"]] == [
        (first, before), (second, after), (third, after),
    ]  # fmt: skip
    assert {each["match"] for each in facts["data"]} == {"exact"}
    assert [each["current"] for each in facts["data"]] == [False, False, True]
    assert len({each["digest"] for each in facts["data"]}) == 3


def test_a_row_leads_to_the_runs_and_models_that_learned_from_it_and_their_aliases(past):
    text, *_ = past.relabelled
    facts = traced(past, "--text", text)
    versions = {each["version"]: each for each in done(past.folder, "models", "list", "--json").facts}
    assert [each["version"] for each in facts["models"]] == sorted(versions)
    assert {each["run_id"] for each in facts["runs"]} == {each["run_id"] for each in versions.values()}
    assert [each["step"] for each in facts["runs"]] == ["baseline", "train"] * 2
    champion = next(each for each in facts["models"] if each["aliases"])
    assert (champion["version"], champion["aliases"]) == (past.second["version"], ["champion"])
    split = facts["data"][0]["split"]
    assert {tuple(each["splits"]) for each in facts["models"]} == {(split,)}


def test_other_case_and_punctuation_find_the_same_row_and_that_is_said(past):
    text, *_ = past.relabelled
    shouted = traced(past, "--text", f"  {text.upper()} !!")
    assert {each["match"] for each in shouted["data"]} == {"same_words"}
    plain = traced(past, "--text", text)
    assert [each["row"] for each in shouted["data"]] == [each["row"] for each in plain["data"]]
    assert shouted["runs"] == plain["runs"]


def test_a_row_is_named_by_its_number_in_the_present_or_an_older_version(past):
    text, before, _ = past.relabelled
    here = traced(past, "--row", "1")
    assert here["text"] == text
    then = traced(past, "--row", "1", "--in", commits(past)[0])
    assert then["data"] == here["data"]
    assert then["data"][0]["label"] == before
    missing = call(past.folder, "trace", "--row", "999")
    assert (missing.code, "rows 1 to 250" in missing.complaint) == (2, True)


@pytest.mark.parametrize("text", [UNSURE, LONG])
def test_a_row_that_was_set_aside_shows_the_reason_however_long_it_is(past, text):
    facts = traced(past, "--text", text)
    assert facts["data"] == []
    assert {each["reason"] for each in facts["quarantined"]} == {"conflicting_label"}
    assert {each["label"] for each in facts["quarantined"]} == {"refund_request", "cancel_order"}
    assert {each["commit"] for each in facts["quarantined"]} == set(commits(past))
    assert facts["runs"] == facts["models"] == []
    other = call(past.folder, "trace", "--text", text + " indeed")
    assert other.code == 2


def test_a_credential_is_found_by_its_text_and_never_shown_by_its_number(past):
    assert {each["reason"] for each in traced(past, "--text", KEY)["quarantined"]} == {"secret"}
    said = done(past.folder, "trace", "--row", "246")
    assert "withheld: it holds a credential" in said.out
    assert KEY[:20] not in said.out + said.err
    assert KEY[:20] not in json.dumps(traced(past, "--row", "246"))


def test_a_row_without_a_text_shows_why_it_was_set_aside(past):
    facts = traced(past, "--row", "241")
    assert facts["text"] is None
    assert [each["reason"] for each in facts["quarantined"]] == ["empty_text"]


def test_an_answered_text_leads_to_answer_selection_batch_and_the_version_that_took_it_in(past):
    project = Project.open(past.folder)
    chosen = project.trace_row(row_id=first_id(past))
    assert chosen.text in NEW
    (selection,), (batch,), (answer,) = chosen.selections, chosen.batches, chosen.answers
    assert selection.id == batch.id == chosen.id == first_id(past)
    assert past.folder / selection.folder == past.folder / past.selection["folder"]
    assert (batch.batch, batch.label) == ("monday", "order_status")
    assert batch.selection == (past.folder / selection.folder).name
    assert answer.model == selection.model == f"shop/{past.second['version']}"
    assert answer.label == selection.suggested
    assert (answer.source, answer.match) == ("new.txt", "exact")
    (holding,) = chosen.data
    assert (holding.label, holding.source, holding.commit) == (
        "order_status", "labelled/monday", commits(past)[-1],
    )  # fmt: skip
    assert chosen.runs == (), "no run has learned from the third version"


def first_id(past):
    line = (past.folder / "data" / "labelled" / "monday.jsonl").read_text(encoding="utf-8").splitlines()[0]
    return json.loads(line)["id"]


def test_an_id_of_a_row_of_the_data_set_is_found_too(past):
    named = traced(past, "--row", "1")["id"]
    assert traced(past, named)["data"] == traced(past, "--row", "1")["data"]
    unknown = call(past.folder, "trace", "row-0123456789abcdef")
    assert (unknown.code, "row-0123456789abcdef" in unknown.complaint) == (2, True)


def test_a_text_that_nothing_holds_is_one_clear_line(past):
    said = call(past.folder, "trace", "--text", "nobody ever wrote this")
    assert said.code == 2
    assert 'text "nobody ever wrote this"' in said.complaint
    assert "none of 3 data versions" in said.complaint


def test_a_model_version_leads_to_its_data_its_run_and_its_rows(past):
    number = past.first["version"]
    facts = traced(past, f"shop/{number}", "--rows", "--limit", "1000")
    known = done(past.folder, "models", "trace", f"shop/{number}", "--json").facts
    assert facts["model"] == known
    assert facts["data"]["commit"] == commits(past)[0]
    assert facts["data"]["digest"] == known["data"]["digest"]
    assert facts["data"]["splits"] == known["rows"]
    assert facts["data"]["batches"] == {}
    assert facts["rows_in_all"] == len(facts["rows"]) == sum(known["rows"].values())
    text, before, _ = past.relabelled
    assert [row["label"] for row in facts["rows"] if row["text"] == text] == [before]
    few = traced(past, f"shop/{number}", "--rows", "--split", "test", "--limit", "2")
    assert [row["split"] for row in few["rows"]] == ["test"] * 2
    assert few["rows_in_all"] == known["rows"]["test"]


def test_the_champion_is_traced_by_default_with_what_it_answered(past):
    facts = traced(past)
    assert facts["model"]["version"] == past.second["version"]
    assert facts["models"][0]["aliases"] == ["champion"]
    (answers,) = facts["answers"]
    assert past.folder / answers["folder"] == past.folder / past.answers["folder"]
    assert answers["rows"] == len(NEW)


def test_a_data_version_is_named_by_commit_digest_run_or_latest(past):
    first, second, third = commits(past)
    facts = traced(past, first)
    assert facts["kind"] == "data"
    assert [each["step"] for each in facts["runs"]] == ["baseline", "train"]
    assert [each["version"] for each in facts["models"]] == [1, past.first["version"]]
    for words in (facts["data"]["digest"][:10], facts["data"]["run_id"], facts["runs"][1]["run_id"]):
        assert traced(past, words)["data"] == facts["data"]
    latest = traced(past, "latest")
    assert latest["data"]["commit"] == third
    assert latest["models"] == []
    assert sum(latest["data"]["batches"]["monday"].values()) == past.batch["rows"]
    changed = [
        (a["label"], b["label"])
        for a, b in zip(*(rows_by_number(past, commit) for commit in (first, second)), strict=True)
        if a["label"] != b["label"]
    ]
    assert len(changed) == RELABELLED


def rows_by_number(past, commit):
    rows = traced(past, commit, "--rows", "--limit", "1000")["rows"]
    return sorted(rows, key=lambda row: row["row"])


def test_the_json_is_stable_and_that_of_the_python_interface(past):
    project = Project.open(past.folder)
    text, *_ = past.relabelled
    for words, found in (
        (("--text", text), project.trace_row(text)),
        (("shop/2", "--rows", "--limit", "3"), project.trace("shop/2", rows=3)),
    ):
        once, twice = (done(past.folder, "trace", *words, "--json").out for _ in range(2))
        assert once == twice
        assert json.loads(once) == json.loads(json.dumps(found.as_json()))
        assert type(found).model_validate(found.as_json()) == found
        assert isinstance(found, RowTrace | VersionTrace)


def test_what_is_printed_names_every_list_that_has_rows(past):
    said = done(past.folder, "trace", first_id(past)).out
    for title in ("Data versions that hold it", "Selections", "Labelled batches", "Answers"):
        assert title in said
    assert "Runs" not in said
    said = done(past.folder, "trace", "latest", "--rows", "--limit", "2").out
    assert "monday" in said
    assert re.search(r"and \d+ more \(--limit\)", said)


def test_the_picture_is_drawn_and_never_over_a_file(past, tmp_path):
    page = tmp_path / "row.html"
    text, before, after = past.relabelled
    done(past.folder, "trace", "--text", text, "--html", str(page))
    shown = page.read_text(encoding="utf-8")
    for words in ("<svg", before, f"was {before}", after, "learned from it", "champion"):
        assert words in shown
    assert "http://" not in shown.replace("http://www.w3.org", "")
    refused = call(past.folder, "trace", "--html", str(page))
    assert (refused.code, "exists already" in refused.complaint) == (2, True)
    assert page.read_text(encoding="utf-8") == shown
    done(past.folder, "trace", "--html", str(page), "--force")
    assert f"Where shop/{past.second['version']} comes from" in page.read_text(encoding="utf-8")


def test_the_evaluation_report_shows_where_the_model_comes_from(past):
    folder = past.folder / "reports" / "evaluation"
    facts = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    titles = [node["title"] for node in facts["lineage"]["nodes"]]
    assert commits(past)[1][:10] in titles
    assert {"messages.csv", "train", "tiny-bert", "the tuned model"} <= set(titles)
    page = (folder / "report.html").read_text(encoding="utf-8")
    section = page[page.index("Where this model comes from") :]
    assert section.index("<svg") < section.index("</section>")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("shop/2", "--text", "x"), "WHAT and --text"),
        (("--text", "x", "--row", "1"), "--text and --row"),
        (("--in", "latest"), "add --row NUMBER"),
        (("--text", "x", "--rows"), "--rows"),
        (("--split", "test"), "add --rows"),
        (("latest", "--rows", "--split", "tset"), "did you mean 'test'?"),
        (("--text", "  "), "is empty"),
        (("shop/99",), "has no version 99"),
        (("nonsense",), "'nonsense'"),
        (("--row", "1", "--in", "nonsense"), "'nonsense'"),
    ],
)
def test_wrong_uses_are_one_clear_line(past, words, says):
    said = call(past.folder, "trace", *words)
    assert (said.code, says in said.complaint) == (2, True), said.err


def test_what_cant_be_read_is_noted_and_passed_over(past, tmp_path):
    shop = tmp_path / "shop"
    shutil.copytree(past.folder, shop, symlinks=True)
    (shop / "data" / "to_label" / "broken").mkdir()
    (shop / "data" / "to_label" / "broken" / "manifest.json").write_text("{}")
    shutil.rmtree(shop / past.answers["folder"].removeprefix(f"{past.folder}/"))
    facts = done(shop, "trace", "--row", "1", "--json").facts
    assert len(facts["data"]) == 3
    assert any("broken" in note for note in facts["notes"])
    assert any("data/inferred" in note and "tunewright data pull" in note for note in facts["notes"])


def test_a_fresh_clone_says_what_it_has_not_and_fetches_it_when_told(past, tmp_path):
    shop, clone = tmp_path / "shop", tmp_path / "clone"
    shutil.copytree(past.folder, shop, symlinks=True)
    done(shop, "data", "remote", "add", "store", str(tmp_path / "store"))
    done(shop, "data", "push", "--all")
    git(tmp_path, "clone", "--quiet", str(shop), str(clone))
    done(clone, "data", "pull")
    text, before, after = past.relabelled
    first, second, _ = commits(past)
    here = done(clone, "trace", "--text", text, "--json").facts
    assert [each["label"] for each in here["data"]] == [after]
    assert here["unread"] == [first, second]
    said = call(clone, "trace", "--text", "nobody ever wrote this")
    assert "2 more are not on this disk: add --fetch" in said.complaint
    older = done(clone, "trace", first, "--json").facts
    assert older["data"]["splits"] == {}
    assert "--rows fetches it" in older["notes"][-1]
    assert done(clone, "trace", first, "--rows", "--limit", "1", "--json").facts["rows_in_all"] == 240
    whole = done(clone, "trace", "--text", text, "--fetch", "--json").facts
    assert [each["label"] for each in whole["data"]] == [before, after, after]
    assert whole["unread"] == []


def test_data_that_is_not_committed_is_traced_as_the_present_and_through_the_runs(
    template, tmp_path, monkeypatch
):
    know_ada(monkeypatch, tmp_path)
    shop = copied(template, tmp_path / "shop")
    ran = done(shop, "run", "data.versioning.commit=false", "--json").facts
    row = done(shop, "trace", "--row", "1", "--json").facts
    assert [(each["commit"], each["current"]) for each in row["data"]] == [(None, True)]
    assert ran["version"] in [each["version"] for each in row["models"]]
    model = done(shop, "trace", f"shop/{ran['version']}", "--rows", "--limit", "1", "--json").facts
    assert model["data"]["commit"] is None
    assert model["rows_in_all"] == 240
    shutil.rmtree(shop / "data" / "processed")
    kept = done(shop, "trace", "--text", row["text"], "--json").facts
    assert kept["data"] == []
    assert ran["version"] in [each["version"] for each in kept["models"]], (
        "the run keeps the digests of its rows"
    )
    refused = call(shop, "trace", f"shop/{ran['version']}", "--rows")
    assert (refused.code, "no commit on this branch holds its data" in refused.complaint) == (1, True)


def test_a_served_answer_leads_to_its_version_and_to_the_rows_that_it_learned_from(past):
    from tunewright.monitoring.records import RequestRecord
    from tunewright.monitoring.request_log import FOLDER, RequestLog

    text, *_ = past.relabelled
    log = RequestLog(past.folder / ".tunewright" / FOLDER)
    log.append(
        RequestRecord(
            time=1_795_000_000.0,
            prediction_id="pred_019aa0b1c2d30123456789abcdef-0",
            request_id="job-1",
            route="/v1/classify",
            model="shop",
            version=past.second["version"],
            key="",
            status=200,
            latency_s=0.01,
            text=text,
            label="order_status",
            confidence=0.75,
        )
    )
    log.close()
    facts = traced(past, "pred_019aa0b1c2d30123456789abcdef", "--rows", "--split", "train", "--limit", "5")
    assert facts["version"]["models"][0]["version"] == past.second["version"]
    assert len(facts["version"]["rows"]) == 5
    assert facts["answer"]["text"] is None
    assert facts["row"]["text"] == text
    assert [each["commit"] for each in facts["row"]["data"]] == commits(past)
