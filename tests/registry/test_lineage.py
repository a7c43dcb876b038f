"""From a version to its commit, change, configuration, data and rows; from a row to the versions."""

from __future__ import annotations

import json
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.config.schema import Recipe
from tunewright.data.dataset import Dataset
from tunewright.registry.certificate import record
from tunewright.registry.executions import execution
from tunewright.registry.git import MAX_DIFF_CHARACTERS, git_state
from tunewright.registry.learners import learning_runs, splits_with
from tunewright.registry.lineage import learned_from, log_lineage, row_digest, rows_trained_on, trace
from tunewright.registry.models import log_classifier, register
from tunewright.registry.versions import promote, show


def git(root, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def dataset(tmp_path, texts):
    root = tmp_path / "data"
    splits = {"train": texts[:3], "validation": texts[3:5], "test": texts[5:]}
    for split, rows in splits.items():
        (root / split).mkdir(parents=True)
        columns = {
            "row": range(1, len(rows) + 1),
            "source": ["sms.tsv"] * len(rows),
            "text": rows,
            "label": ["ham", "spam", "ham"][: len(rows)],
            "group": range(len(rows)),
        }
        pq.write_table(
            pa.table({name: list(values) for name, values in columns.items()}),
            root / split / "part-0.parquet",
        )
    counts = {split: len(rows) for split, rows in splits.items()}
    manifest = {
        "source": {
            "uri": "s3://key:hunter2@bucket/sms.tsv",
            "format": "tsv",
            "text_column": "t",
            "label_column": "l",
        },
        "rows": 6,
        "unique": 6,
        "labels": {"ham": 4, "spam": 2},
        "label_names": ["ham", "spam"],
        "quarantined": {},
        "splits": counts,
        "split_labels": {split: {"ham": count} for split, count in counts.items()},
        "split_digests": {split: split[0] * 64 for split in splits},
        "digest": "d" * 64,
        "split_by": "text",
        "seed": 1,
        "leaks": {},
        "cleaning": {},
        "flags": {},
        "quality": {},
        "columns": {
            "row": "int64",
            "source": "string",
            "text": "string",
            "label": "string",
            "group": "int64",
        },
    }
    (root / "manifest.json").write_text(json.dumps(manifest))
    return Dataset.load(root)


@pytest.fixture
def project(open_project):
    """A project in git, with one uncommitted change."""
    opened = open_project()
    (opened.paths.configs).mkdir(parents=True)
    (opened.paths.configs / "config.yaml").write_text("seed: 1\n")
    (opened.paths.root / ".gitignore").write_text(".tunewright/\n.env\n")
    git(opened.paths.root, "init", "-q")
    git(opened.paths.root, "add", ".")
    git(opened.paths.root, "commit", "-q", "-m", "first")
    return opened


def train(project, dataset, classifier, texts):
    with execution(project.tracking, "train", recipe=Recipe(project="spam", seed=7)) as run:
        run.log_dataset(dataset)
        log_lineage(run, dataset)
        run.metrics({"loss": 0.25}, 1)
        logged = log_classifier(run, classifier, certificate=record(classifier, texts, bound=1e-4))
    return register(project.tracking, logged)


def test_a_version_is_traced_to_all_that_it_came_from(project, dataset, make_classifier, texts):
    (project.paths.configs / "config.yaml").write_text("seed: 2\n")
    (project.paths.root / ".env").write_text("MLFLOW_TRACKING_PASSWORD=hunter2\n")
    version = train(project, dataset, make_classifier(0), texts)
    promote(project.tracking, version.reference, verdict="v" * 64)
    found = json.loads(json.dumps(trace(project.tracking, "spam@champion")))
    assert found["commit"] == git_state(project.paths.root).commit
    assert found["dirty"] is True
    assert "-seed: 1\n+seed: 2" in found["diff"]
    assert found["config"]["seed"] == 7
    assert found["data"]["digest"] == "d" * 64
    assert {item["context"]: item["digest"] for item in found["data"]["inputs"]} == {
        "training": "t" * 36,
        "validation": "v" * 36,
        "test": "t" * 36,
    }
    assert found["rows"] == {"train": 3, "validation": 2, "test": 1}
    assert found["verdict"] == "v" * 64
    assert found["environment"]["packages"]["torch"]
    assert [entry["action"] for entry in found["ledger"]] == ["register", "promote", "promote"]
    assert "hunter2" not in json.dumps(found)
    facts = show(project.tracking, "spam/1")
    assert (facts["commit"], facts["dirty"], facts["data_digest"]) == (found["commit"], True, "d" * 64)
    assert facts["metrics"] == {"loss": 0.25}


def test_rows_lead_to_the_versions_that_learned_from_them(project, dataset, make_classifier, texts):
    version = train(project, dataset, make_classifier(0), texts)
    tracking = project.tracking
    assert rows_trained_on(tracking, "spam/1") == {row_digest(text) for text in texts[:5]}
    assert [(found.version, split) for found, split in learned_from(tracking, texts[0].upper())] == [
        (1, "train")
    ]
    assert learned_from(tracking, texts[5]) == [(version, "test")]
    assert learned_from(tracking, "never seen") == []


def test_the_runs_that_learned_are_listed_with_the_splits_that_they_saw(
    project, dataset, make_classifier, texts
):
    tracking = project.tracking
    version = train(project, dataset, make_classifier(0), texts)
    with (
        execution(tracking, "sweep") as sweep,
        execution(tracking, "sweep", within=sweep.run_id, tags={"data_digest": "d" * 64}) as trial,
    ):
        pass
    runs = learning_runs(tracking)
    assert [(run.step, run.run_id) for run in runs] == [("train", version.run_id), ("sweep", trial.run_id)]
    assert {run.data_digest for run in runs} == {"d" * 64}
    assert [run.seen(("train", "test")) for run in runs] == [("train", "test"), ("train",)]
    assert splits_with(tracking, version.run_id, [row_digest(texts[0]), row_digest(texts[5])]) == {
        "train",
        "test",
    }
    assert splits_with(tracking, version.run_id, [row_digest("never seen")]) == set()
    assert splits_with(tracking, trial.run_id, [row_digest(texts[0])]) is None


def test_a_run_without_lineage_is_traced_as_far_as_it_goes(tracking, log):
    logged, _ = log(tracking, 0)
    register(tracking, logged)
    found = trace(tracking, "spam/1")
    assert (found["commit"], found["diff"], found["config"], found["rows"]) == (None, "", None, {})
    assert rows_trained_on(tracking, "spam/1") == set()


def test_inputs_are_logged_from_the_manifest_alone(tracking, dataset):
    import mlflow

    for shard in dataset.root.rglob("*.parquet"):
        shard.unlink()
    with execution(tracking, "train") as run:
        run.log_dataset(dataset)
    inputs = tracking.client.get_run(run.run_id).inputs.dataset_inputs
    assert {item.dataset.name for item in inputs} == {"sms.tsv:train", "sms.tsv:validation", "sms.tsv:test"}
    source = mlflow.data.get_source(inputs[0].dataset)
    assert str(dataset.root) in source.uri
    assert json.loads(inputs[0].dataset.profile)["num_rows"] in (3, 2, 1)


def test_git_state_of_a_clean_checkout_of_a_large_change_and_of_no_checkout(project, tmp_path):
    root = project.paths.root
    assert git_state(root).dirty is False
    (root / "reports").mkdir(exist_ok=True)
    (root / "reports" / "ledger.jsonl").write_text("{}\n")
    assert git_state(root).dirty is False
    (root / "configs" / "new.yaml").write_text("a: 1\n")
    state = git_state(root)
    assert state.dirty
    assert "configs/new.yaml" in state.diff
    (root / "configs" / "config.yaml").write_text("x" * 2 * MAX_DIFF_CHARACTERS)
    assert len(git_state(root).diff) < MAX_DIFF_CHARACTERS + 100
    assert git_state(tmp_path / "nowhere").commit is None


def test_without_git_there_is_no_commit_and_no_error(tmp_path, monkeypatch):
    from tunewright.registry import git as module

    module._program.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path).commit is None
    module._program.cache_clear()


@given(st.text())
def test_a_row_keeps_its_identity_under_case_and_white_space(text):
    assert row_digest(f"  {text} ") == row_digest(text)
    assert len(row_digest(text)) == 16
