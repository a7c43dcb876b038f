"""The main job from the command line: once, again, with one thing changed, killed, eight at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from projects import made, tunewright

from tunewright.pipeline.steps import STEPS

NAMES = [step.name for step in STEPS]
PLAIN_MLFLOW = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tunewright":
            raise ImportError("tunewright must not be needed")

sys.meta_path.insert(0, Refuse())
import mlflow
mlflow.set_tracking_uri("sqlite:///.tunewright/mlflow.db")
answer = mlflow.pyfunc.load_model("models:/shop@champion").predict(["where is my parcel"])
print(answer.to_json(orient="records"))
"""


def states(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])["steps"]


def planned(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout.splitlines()[-1])
    return [name for name, step in plan.items() if step["state"] == "would run"]


def pointer(project: Path) -> dict:
    return json.loads((project / "models" / "candidate.json").read_text())


@pytest.mark.slow
def test_the_first_run_ends_with_the_promised_facts(ran):
    facts = ran.facts
    assert facts["model"] == "shop"
    assert facts["version"] == 2
    assert isinstance(facts["promoted"], bool)
    assert set(facts["baselines"]) == {"base", "tfidf", "majority"}
    for metrics in (facts["metrics"], *facts["baselines"].values()):
        assert set(metrics) == {"accuracy", "f1_macro", "f1"}
        assert len(metrics["f1"]) == 8
    assert facts["steps"] == dict.fromkeys(NAMES, "ran")
    assert Path(facts["report"]).is_file()
    assert (ran.folder / "reports" / "data.html").is_file()


@pytest.mark.slow
def test_the_data_facts_hold_together(ran):
    done = tunewright(ran.folder, "data", "show", "--json")
    facts = json.loads(done.stdout)
    assert facts["rows"] == sum(facts["labels"].values())
    assert sum(facts["splits"].values()) + sum(facts["quarantined"].values()) == facts["rows"]
    assert facts["unique"] <= facts["rows"]
    assert set(facts["leaks"].values()) == {0}


@pytest.mark.slow
def test_the_same_command_again_runs_nothing(ran):
    again = tunewright(ran.folder, "run", "--json")
    assert states(again) == dict.fromkeys(NAMES, "skipped")
    facts = json.loads(again.stdout.splitlines()[-1])
    assert {**facts, "steps": 0, "seconds": 0} == {**ran.facts, "steps": 0, "seconds": 0}


@pytest.mark.slow
def test_dvc_agrees_that_nothing_changed(ran):
    dvc = Path(sys.executable).parent / "dvc"
    said = subprocess.run([dvc, "status"], cwd=ran.folder, capture_output=True, text=True, check=True)
    assert "up to date" in said.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "first", "spared"),
    [
        ("training.epochs=3", "check", "baseline"),
        ("data.cleaning.urls=mask", "clean", "ingest"),
        ("evaluation.bootstrap_samples=300", "evaluate", "train"),
        ("evaluation.gate.min_rows=10", "promote", "evaluate"),
        ("data.test_share=0.3", "split", "validate"),
    ],
)
def test_one_changed_value_reruns_only_what_depends_on_it(ran, word, first, spared):
    steps = planned(tunewright(ran.folder, "run", "--dry-run", "--json", word))
    assert steps[0] == first
    assert spared not in steps
    assert steps[-1] == "promote"


@pytest.mark.slow
def test_one_touched_row_reruns_from_the_start(ran):
    source = ran.folder.parent / "messages.csv"
    before = source.read_text()
    try:
        source.write_text(before.replace("e", "E", 1) if "e" in before else before + "\n")
        assert planned(tunewright(ran.folder, "run", "--dry-run", "--json"))[0] == "ingest"
    finally:
        source.write_text(before)
    assert planned(tunewright(ran.folder, "run", "--dry-run", "--json")) == []


@pytest.mark.slow
def test_plain_mlflow_opens_the_champion_without_tunewright(ran):
    if not ran.facts["promoted"]:
        done = tunewright(ran.folder, "models", "promote", "shop/2")
        assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_MLFLOW], cwd=ran.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout.splitlines()[-1])
    ours = json.loads(tunewright(ran.folder, "predict", "where is my parcel", "--json").stdout)
    assert answer["label"] == ours["label"]


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_with_the_same_weights(ran, tmp_path, tiny_base, messages):
    project = made(tmp_path / "shop", tiny_base, messages)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tunewright", "run"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=project, env=environment, stderr=log, stdout=log)
        _wait_for_checkpoint(process, project, tmp_path / "log")
        process.send_signal(signal.SIGKILL)
        process.wait()
    again = states(tunewright(project, "run", "--json"))
    assert again["split"] == "skipped"
    assert again["train"] == "ran"
    resumed, whole = pointer(project), pointer(ran.folder)
    assert resumed["figures"]["resumed_from_step"] > 0
    assert whole["figures"]["resumed_from_step"] == 0
    assert resumed["logged"]["digest"] == whole["logged"]["digest"]
    assert not list((project / ".tunewright" / "checkpoints").iterdir())


def _wait_for_checkpoint(process: subprocess.Popen, project: Path, log: Path) -> None:
    """Wait until a checkpoint lies whole on disk while training goes on."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the run ended before it could be killed:\n{log.read_text()}")
        if list((project / ".tunewright" / "checkpoints").glob("*/*/seal.json")):
            return
        time.sleep(0.01)
    pytest.fail(f"no checkpoint within four minutes:\n{log.read_text()}")


@pytest.mark.slow
def test_eight_runs_at_once_in_a_new_project_make_one_model(tmp_path, tiny_base, messages):
    project = made(tmp_path / "shop", tiny_base, messages, epochs=1)
    command = [sys.executable, "-m", "tunewright", "run", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    ended = [process.communicate(timeout=540) for process in started]
    assert [process.returncode for process in started] == [0] * 8, [err for _, err in ended]
    facts = [json.loads(out.splitlines()[-1]) for out, _ in ended]
    assert {each["version"] for each in facts} == {2}
    assert sorted(each["steps"]["train"] for each in facts) == ["ran", *["skipped"] * 7]
    versions = json.loads(tunewright(project, "models", "list", "--json").stdout)
    assert [each["version"] for each in versions] == [2, 1]
