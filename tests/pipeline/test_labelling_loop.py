"""From texts without labels to a labelled batch, through the command line and from Python."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from projects import tunewright
from sessions import call, done

from tunewright.data.dataset import SPLITS
from tunewright.data.normal_form import key_form
from tunewright.pipeline.project import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop(ran, tmp_path_factory) -> Path:
    """A project with a champion, and all bundled messages as incoming texts."""
    folder = tmp_path_factory.mktemp("loop") / "shop"
    shutil.copytree(ran.folder, folder)
    done(folder, "models", "promote", "shop/2")
    return folder


@pytest.fixture(scope="module")
def incoming(shop, messages) -> Path:
    """Every bundled message under other column names, with two bad rows."""
    rows = list(csv.DictReader(messages.splitlines()))
    path = shop.parent / "incoming.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["n", "body", "intent"])
        writer.writerows([n, row["text"], row["intent"]] for n, row in enumerate(rows))
        writer.writerows([["x", "  ", "order_status"], ["y", "one", "order_status", "too", "many"]])
    return path


@pytest.fixture(scope="module")
def answered(shop, incoming):
    """What `infer` says of them."""
    return done(shop, "infer", str(incoming), "--json").facts


def answers_of(folder):
    return [
        row for part in sorted(Path(folder).glob("part-*.parquet")) for row in pq.read_table(part).to_pylist()
    ]


def test_answers_are_those_of_predict_with_every_probability_and_logit(shop, answered):
    rows = answers_of(answered["folder"])
    project = Project.open(shop)
    texts = [row["text"] for row in rows[:40]]
    for row, expected in zip(rows, project.predict(texts), strict=False):
        assert row["label"] == expected.label
        assert row["confidence"] == pytest.approx(expected.probability, abs=1e-5)
        assert row["probabilities"] == pytest.approx(dict(expected.probabilities), abs=1e-5)
        assert max(row["logits"]) == row["logits"][answered["label_names"].index(row["label"])]
        assert (row["model"], row["version"], row["source"]) == ("shop", 2, "incoming.csv")
    assert answered["rows"] == len(rows)


def test_the_summary_counts_measures_and_names_where_it_comes_from(shop, answered):
    rows = answers_of(answered["folder"])
    right = sum(row["label"] == row["truth"] for row in rows)
    assert answered["measured"]["accuracy"] == pytest.approx(right / len(rows))
    assert sum(answered["labels"].values()) == len(rows)
    assert answered["quarantined"] == {"empty_text": 1, "ragged_row": 1}
    lines = (Path(answered["folder"]) / "quarantine.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["reason"] for line in lines] == ["empty_text", "ragged_row"]
    assert json.loads((Path(answered["folder"]) / "summary.json").read_text())["digest"] == answered["digest"]
    assert answered["uri"].startswith("models:/m-")


def test_the_same_content_is_answered_once_a_version_whatever_it_is_called(shop, incoming, answered):
    copy = shutil.copy(incoming, incoming.with_name("another name.csv"))
    again = done(shop, "infer", str(copy), "--json").facts
    assert (again["fresh"], again["folder"], again["digest"]) == (
        False,
        answered["folder"],
        answered["digest"],
    )
    other = done(shop, "infer", str(copy), "--model", "shop/1", "--json").facts
    assert (other["fresh"], other["version"]) == (True, 1)
    assert other["folder"] != answered["folder"]
    assert "nothing was done again" in done(shop, "infer", str(copy)).err


def test_a_column_can_be_told_and_what_doesnt_say_how_to_read_is_refused(shop, tmp_path):
    (tmp_path / "two.csv").write_text("title,body\n" + "a,where is my parcel\n" * 3)
    told = done(shop, "infer", str(tmp_path / "two.csv"), "data.text_column=title", "--json").facts
    assert {row["text"] for row in answers_of(told["folder"])} == {"a"}
    refused = call(shop, "infer", str(tmp_path / "two.csv"), "training.epochs=3")
    assert refused.code == 2
    assert "training.epochs: doesn't say how a source is read" in refused.complaint
    missing = call(shop, "infer", str(tmp_path / "tow.csv"))
    assert (missing.code, "did you mean 'two.csv'?" in missing.complaint) == (2, True)


def test_only_a_folder_of_answers_is_replaced_and_only_when_told(shop, tmp_path):
    (tmp_path / "in.txt").write_text("where is my parcel\n")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.doc").write_text("years of work")
    refused = call(shop, "infer", str(tmp_path / "in.txt"), "--out", str(mine), "--force")
    assert (refused.code, (mine / "thesis.doc").read_text()) == (2, "years of work")
    out = tmp_path / "out"
    done(shop, "infer", str(tmp_path / "in.txt"), "--out", str(out))
    (tmp_path / "in.txt").write_text("another text\n")
    assert (
        "holds another result" in call(shop, "infer", str(tmp_path / "in.txt"), "--out", str(out)).complaint
    )
    done(shop, "infer", str(tmp_path / "in.txt"), "--out", str(out), "--force")
    assert [row["text"] for row in answers_of(out)] == ["another text"]


def test_damaged_answers_are_noticed(shop, tmp_path):
    (tmp_path / "in.txt").write_text("is it damaged\n")
    folder = Path(done(shop, "infer", str(tmp_path / "in.txt"), "--json").facts["folder"])
    part = next(folder.glob("part-*"))
    part.write_bytes(part.read_bytes() + b"x")
    assert "not those that were written" in call(shop, "infer", str(tmp_path / "in.txt")).complaint
    assert done(shop, "infer", str(tmp_path / "in.txt"), "--force", "--json").facts["fresh"]


def test_a_killed_inference_goes_on_and_ends_as_if_nothing_had_been(shop, tmp_path):
    source = tmp_path / "many.txt"
    source.write_text("".join(f"where is parcel number {n} of my order\n" for n in range(9000)))
    whole = done(shop, "infer", str(source), "--json", "--out", str(tmp_path / "whole")).facts
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tunewright", "infer", str(source), "--out", str(tmp_path / "killed")]
    running = subprocess.Popen(command, cwd=shop, env=environment, stderr=subprocess.DEVNULL)
    work = shop / ".tunewright" / "inference"
    deadline = time.monotonic() + 120
    while not list(work.glob("*/answers/part-00001.parquet")):
        assert time.monotonic() < deadline
        assert running.poll() is None, "it must still be at work"
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "killed").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in work.glob("*/answers/part-0000[01].parquet")}
    ended = tunewright(shop, "infer", str(source), "--json", "--out", str(tmp_path / "killed"))
    assert ended.returncode == 0, ended.stderr
    facts = json.loads(ended.stdout.splitlines()[-1])
    assert len(kept) == 2
    assert facts["digest"] == whole["digest"]
    assert facts["rows"] == 9000
    assert not [path for path in work.iterdir() if path.is_dir()], "what it worked on is cleared away"


def test_chosen_rows_are_new_to_the_data_set_and_to_each_other(shop, answered):
    project = Project.open(shop)
    facts = done(shop, "sample", answered["folder"], "--rows", "40", "--json").facts
    rows = pq.read_table(Path(facts["folder"]) / "selection.parquet").to_pylist()
    known = {key_form(text) for split in SPLITS for text in project.dataset().frame(split)["text"]}
    keys = [key_form(row["text"]) for row in rows]
    assert len(set(keys)) == len(rows) == facts["rows"] == 40
    assert not known & set(keys)
    assert facts["left_out"]["in the data set"] > 0
    assert [row["strategy"] for row in rows].count("random") == facts["control"] == 4
    assert len({row["id"] for row in rows}) == 40
    page = Path(facts["report"]).read_text()
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    again = done(shop, "sample", answered["folder"], "--rows", "40", "--json").facts
    assert (again["fresh"], again["digest"]) == (False, facts["digest"])
    second = done(shop, "sample", answered["folder"], "--rows", "40", "--seed", "1", "--json").facts
    others = {row["id"] for row in pq.read_table(Path(second["folder"]) / "selection.parquet").to_pylist()}
    assert not others & {row["id"] for row in rows}, "a row that is out already isn't handed out twice"
    assert second["left_out"]["in another selection"] == 40


def test_every_strategy_chooses_and_a_wrong_one_names_the_nearest(shop, answered):
    for strategy in ("margin", "least_confidence", "entropy", "diverse", "random"):
        out = shop / "data" / "to_label" / f"try-{strategy}"
        facts = done(
            shop, "sample", answered["folder"], "--rows", "12", "--strategy", strategy, "--repeat",
            "--out", str(out), "--json",
        ).facts  # fmt: skip
        assert (facts["rows"], facts["strategy"]) == (12, strategy)
        shutil.rmtree(out)
    wrong = call(shop, "sample", answered["folder"], "--strategy", "diverce")
    assert (wrong.code, "did you mean 'diverse'?" in wrong.complaint) == (2, True)
    assert call(shop, "sample", answered["folder"], "--random-share", "2").code == 2


def test_nothing_left_to_choose_is_said(shop, tmp_path):
    text = Project.open(shop).dataset().frame("test")["text"].iloc[0]
    (tmp_path / "known.txt").write_text(f"{text}\n{text.upper()}\n")
    folder = done(shop, "infer", str(tmp_path / "known.txt"), "--json").facts["folder"]
    refused = call(shop, "sample", folder)
    assert (
        refused.code,
        "none of its 2 rows is left to label (in the data set: 2)" in refused.complaint,
    ) == (2, True)


def test_a_selection_goes_to_annotators_and_comes_back_as_a_batch(shop, incoming, answered, tmp_path):
    project = Project.open(shop)
    chosen = project.sample(Path(answered["folder"]), rows=30, strategy="entropy", repeat=True).selection
    truth = {row["body"]: row["intent"] for row in csv.DictReader(incoming.open(encoding="utf-8"))}
    done(shop, "labels", "export", str(chosen.folder), str(tmp_path / "ada.csv"))
    head, *rows = csv.reader((tmp_path / "ada.csv").open(encoding="utf-8-sig", newline=""))
    assert head == ["id", "text", "suggested", "confidence", "label", "annotator"]
    bens = {3: "cancel_ordr"}
    for at in (5, 6):  # whatever was chosen, Ben sees two rows otherwise
        bens[at] = "cancel_order" if truth[rows[at][1]] == "order_status" else "order_status"
    for name, wrong in (("ada", {}), ("ben", bens)):
        with (tmp_path / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(head)
            for at, row in enumerate(rows):
                writer.writerow([*row[:4], wrong.get(at, truth[row[1]]), ""])
    words = (
        "labels",
        "import",
        str(tmp_path / "ada.csv"),
        str(tmp_path / "ben.csv"),
        "--selection",
        str(chosen.folder),
    )
    facts = done(shop, *words, "--name", "first", "--json").facts
    assert facts["rows"] == 28
    assert facts["set_aside"] == {"conflict": 4, "unknown_label": 1}
    assert facts["agreement"]["percent"] == pytest.approx(27 / 29)
    assert facts["agreement"]["kappa"] == pytest.approx(facts["agreement"]["alpha"], abs=0.05)
    assert facts["control"]["rows"] <= 3
    batch = [json.loads(line) for line in Path(facts["file"]).read_text(encoding="utf-8").splitlines()]
    assert {row["text"]: row["label"] for row in batch}.items() <= truth.items()
    assert {*batch[0]} == {"text", "label", "id", "annotators"}
    aside = [
        json.loads(line) for line in Path(facts["set_aside_file"]).read_text(encoding="utf-8").splitlines()
    ]
    assert any("did you mean 'cancel_order'?" in entry["detail"] for entry in aside)
    done(shop, *words, "--name", "first")  # the same labels again change nothing
    other = call(
        shop,
        "labels",
        "import",
        str(tmp_path / "ada.csv"),
        "--selection",
        str(chosen.folder),
        "--name",
        "first",
    )
    assert (other.code, "exists already" in other.complaint) == (2, True)
    majority = done(shop, *words, "--name", "second", "--conflicts", "majority", "--json").facts
    assert majority["rows"] == facts["rows"], "two who disagree are no majority"
    after = project.sample(Path(answered["folder"]), rows=30, seed=9, repeat=True).selection
    assert not {row.id for row in after.rows} & {row["id"] for row in batch}, (
        "labelled rows are not asked for again"
    )
    assert after.manifest.left_out["labelled already"] >= len(batch)


def chosen_by_entropy(shop):
    """The folder of a selection, not the pointer to it that stands beside."""
    return next(path for path in (shop / "data" / "to_label").glob("*-entropy-*") if path.is_dir())


def test_the_pointer_of_a_selection_stands_for_it(shop, tmp_path):
    pointer = chosen_by_entropy(shop)
    pointer = pointer.with_name(f"{pointer.name}.dvc")
    facts = done(shop, "labels", "export", str(pointer), str(tmp_path / "rows.csv"), "--json").facts
    assert facts["rows"] == 30
    refused = call(shop, "labels", "export", str(shop / "params.json"), str(tmp_path / "other.csv"))
    assert (refused.code, "no such file" in refused.complaint) == (2, True)


def test_label_studio_tasks_and_their_configuration_are_written_and_never_over_a_file(
    shop, answered, tmp_path
):
    folder = chosen_by_entropy(shop)
    facts = done(shop, "labels", "export", str(folder), str(tmp_path / "tasks.json"), "--json").facts
    assert (len(json.loads((tmp_path / "tasks.json").read_text())), Path(facts["config"]).name) == (
        30,
        "tasks.xml",
    )
    again = call(shop, "labels", "export", str(folder), str(tmp_path / "tasks.json"))
    assert (again.code, "exists already" in again.complaint) == (2, True)
    assert "add --to" in call(shop, "labels", "export", str(folder), str(tmp_path / "tasks.xyz")).complaint
    assert (
        "did you mean 'label-studio'?"
        in call(
            shop, "labels", "export", str(folder), str(tmp_path / "t.json"), "--to", "labelstudio"
        ).complaint
    )


def test_labels_of_which_none_stands_make_no_batch(shop, tmp_path):
    folder = chosen_by_entropy(shop)
    (tmp_path / "empty.csv").write_text("id,label\nrow-0,refund\n")
    refused = call(
        shop, "labels", "import", str(tmp_path / "empty.csv"), "--selection", str(folder), "--name", "none"
    )
    assert (refused.code, "no row has a label that stands" in refused.complaint) == (2, True)
    assert not (shop / "data" / "labelled" / "none.jsonl").exists()
    assert len((shop / "data" / "set_aside" / "none.jsonl").read_text().splitlines()) == 31


def test_a_changed_selection_is_noticed(shop):
    folder = chosen_by_entropy(shop)
    table = pq.read_table(folder / "selection.parquet")
    kept = (folder / "selection.parquet").read_bytes()
    pq.write_table(table.slice(1), folder / "selection.parquet")
    refused = call(shop, "labels", "export", str(folder), "x.csv")
    (folder / "selection.parquet").write_bytes(kept)
    assert (refused.code, "not those that were chosen" in refused.complaint) == (2, True)
