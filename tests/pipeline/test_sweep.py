"""A sweep from the command line: killed twice and going on, pruned, handed over to the pipeline, done once.

``TUNEWRIGHT_TRIALS=12`` makes it a sweep of twelve trials instead of eight.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from projects import made, tunewright
from sessions import only_complaint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # a dozen trainings, each a process

SPACE = ("training=lora", "training.learning_rate=interval(1e-5,3e-2)", "training.batch_size=8,16")
TRIALS = int(os.environ.get("TUNEWRIGHT_TRIALS", "8"))
SWEEP = ("sweep", *SPACE, "--trials", str(TRIALS), "--jobs", "2", "--seed", "7", "--json")
STATE = Path(".tunewright") / "sweeps"


@dataclass(frozen=True)
class Swept:
    """A project whose sweep was killed twice, what the third call answered, and what the first two had done."""

    folder: Path
    facts: dict[str, Any]
    ended_before: list[int]
    """Trials that had ended at each kill."""
    orphans: list[psutil.Process]
    """Processes that outlived the kill of their sweep for ten seconds."""


def start(project: Path, log: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "tunewright", *SWEEP],
            cwd=project,
            env=environment,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )


def ended(log: Path) -> int:
    return sum(": complete," in line or ": pruned," in line for line in log.read_text().splitlines())


def wait_for(process: subprocess.Popen[bytes], project: Path, log: Path, *, trials: int) -> int:
    """Wait until so many trials have ended and another one has a whole checkpoint; return how many have ended."""
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        if ended(log) >= trials and list((project / STATE).glob("*/*/checkpoints/*/checkpoint-*/seal.json")):
            return ended(log)
        time.sleep(0.01)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def swept(tmp_path_factory, tiny_base, messages) -> Swept:
    """Kill the whole process group the first time, the sweep's process alone the second time."""
    folder = tmp_path_factory.mktemp("swept")
    project = made(folder / "shop", tiny_base, messages)
    first = start(project, folder / "first.log")
    before = [wait_for(first, project, folder / "first.log", trials=2)]
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    second = start(project, folder / "second.log")
    before.append(wait_for(second, project, folder / "second.log", trials=3))
    children = psutil.Process(second.pid).children(recursive=True)
    second.kill()
    second.wait()
    _, orphans = psutil.wait_procs(children, timeout=10)
    done = tunewright(project, *SWEEP)
    assert done.returncode == 0, done.stderr
    return Swept(project, json.loads(done.stdout.splitlines()[-1]), before, orphans)


def runs(swept: Swept) -> list[Any]:
    """Return the MLflow runs of the trials."""
    client = store(swept.folder)
    (experiment,) = [each for each in client.search_experiments() if each.name == "shop"]
    found = client.search_runs(
        [experiment.experiment_id], "tags.`tunewright.kind` = 'trial'", max_results=1000
    )
    return sorted(found, key=lambda run: int(run.data.tags["tunewright.trial"]))


def store(project: Path):
    from mlflow.tracking import MlflowClient

    return MlflowClient(f"sqlite:///{project}/.tunewright/mlflow.db")


def results(swept: Swept) -> list[dict[str, Any]]:
    return [each["result"] for each in swept.facts["trials"]]


def test_a_sweep_killed_twice_ends_with_exactly_the_trials_asked_for(swept):
    trials = swept.facts["trials"]
    assert [each["number"] for each in trials] == list(range(TRIALS))
    assert {each["state"] for each in trials} <= {"complete", "pruned"}
    assert swept.ended_before[0] >= 2
    assert sum(swept.ended_before) < TRIALS
    assert swept.orphans == []


def test_each_trial_has_one_run_below_the_sweeps(swept):
    found = runs(swept)
    assert [int(run.data.tags["tunewright.trial"]) for run in found] == list(range(TRIALS))
    assert {run.data.tags["mlflow.parentRunId"] for run in found} == {swept.facts["run_id"]}
    for run, trial in zip(found, swept.facts["trials"], strict=True):
        assert run.info.status == "FINISHED"
        assert run.info.run_id == trial["run_id"]
        assert run.data.tags["tunewright.state"] == trial["state"]
        assert float(run.data.params["training.learning_rate"]) == trial["values"]["training.learning_rate"]
        assert run.data.metrics["score"] == trial["value"]
    client = store(swept.folder)
    sweep = client.get_run(swept.facts["run_id"])
    parent = client.get_run(sweep.data.tags["mlflow.parentRunId"])
    assert (sweep.info.status, parent.data.tags["tunewright.step"]) == ("FINISHED", "sweep")
    assert parent.data.tags["tunewright.kind"] == "step"


def test_a_killed_trial_went_on_from_its_checkpoint_in_the_same_run(swept):
    resumed = [run for run in runs(swept) if "tunewright.resumed" in run.data.tags]
    assert resumed
    went_on = [each["number"] for each in swept.facts["trials"] if each["result"]["resumed_from_step"] > 0]
    assert set(went_on) & {int(run.data.tags["tunewright.trial"]) for run in resumed}


def test_every_adapter_started_from_the_untouched_base(swept):
    base = json.loads((swept.folder / "models" / "base.json").read_text())
    assert {each["start_digest"] for each in results(swept)} == {base["digest"]}
    assert len({each["encoder_digest"] for each in results(swept)}) == 1
    by_values = {
        json.dumps(each["values"], sort_keys=True): each["result"]["digest"] for each in swept.facts["trials"]
    }
    assert len(set(by_values.values())) == len(by_values)


def test_a_trial_trained_alone_gives_the_same_adapter(swept, tmp_path, monkeypatch):
    """If adapters stacked, only the first trial could be repeated without the ones before it."""
    from tunewright.models.catalogue import resolve
    from tunewright.pipeline.project import Project
    from tunewright.registry.models import load
    from tunewright.registry.tracking import connect
    from tunewright.training.classification import train

    class Silent:
        def metrics(self, values, step):
            """Take figures."""

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    trial = next(each for each in reversed(swept.facts["trials"]) if each["state"] == "complete")
    project = Project.open(swept.folder)
    words = [f"{key}={value}" for key, value in trial["values"].items()]
    recipe = project.compose(["training=lora", *words])
    base = json.loads((swept.folder / "models" / "base.json").read_text())
    candidate = train(
        project.dataset(),
        resolve(recipe.model, base_dir=swept.folder),
        recipe,
        workspace=tmp_path,
        recorder=Silent(),
        head=load(connect(recipe, project.paths), base["uri"]),
    )
    assert candidate.classifier.digest() == trial["result"]["digest"]


def test_a_trials_adapter_is_kept_and_opens(swept, tmp_path):
    from tunewright.models.classifier import Classifier
    from tunewright.registry.packaging import CLASSIFIER_FOLDER

    trial = swept.facts["trials"][-1]
    client = store(swept.folder)
    folder = Path(client.download_artifacts(trial["run_id"], "classifier", str(tmp_path)))
    base = json.loads((swept.folder / "models" / "base.json").read_text())
    location = client.get_logged_model(base["uri"].removeprefix("models:/")).artifact_location
    opened = Classifier.load(folder, base_folder=Path(location.removeprefix("file://")) / CLASSIFIER_FOLDER)
    assert opened.digest() == trial["result"]["digest"]


def test_trials_see_no_test_rows_and_the_best_is_evaluated_once(swept):
    assert not [name for run in runs(swept) for name in run.data.metrics if name.startswith("test/")]
    assert not [run for run in runs(swept) if run.inputs.dataset_inputs]
    best = swept.facts["trials"][swept.facts["best"]]
    complete = [each["value"] for each in swept.facts["trials"] if each["state"] == "complete"]
    assert best["value"] == max(complete)
    candidate = json.loads((swept.folder / "models" / "candidate.json").read_text())
    assert swept.facts["reused"]
    assert candidate["logged"]["digest"] == best["result"]["digest"]
    assert swept.facts["run"]["version"] == 2
    assert isinstance(swept.facts["run"]["promoted"], bool)
    client = store(swept.folder)
    assert (
        client.get_run(candidate["logged"]["run_id"]).data.tags["tunewright.sweep_run"]
        == swept.facts["run_id"]
    )
    sweep = client.get_run(swept.facts["run_id"])
    assert sweep.data.tags["tunewright.model"] == candidate["logged"]["uri"]
    assert not list((swept.folder / ".tunewright" / "checkpoints").iterdir())


def test_page_and_plots_lie_in_the_project_and_with_the_run(swept):
    folder = swept.folder / "reports" / "sweep" / "sweep"
    names = {"report.html", "report.json", "history.svg", "parallel_coordinates.svg"}
    assert names <= {path.name for path in folder.iterdir()}
    kept = {each.path for each in store(swept.folder).list_artifacts(swept.facts["run_id"])}
    assert names <= kept
    page = (folder / "report.html").read_text()
    assert page.count("<svg") >= 2
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    counts = Counter(each["state"] for each in swept.facts["trials"])
    assert all(f"{count} {state}" in page for state, count in counts.items())


def test_the_same_command_again_trains_nothing(swept):
    done = tunewright(swept.folder, *SWEEP)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["trials"] == swept.facts["trials"]
    assert set(facts["run"]["steps"].values()) == {"skipped"}
    assert len(runs(swept)) == TRIALS


def test_the_best_recipe_is_an_option_that_stays_the_users_once_they_change_it(swept):
    option = Path(swept.facts["option"])
    config = swept.folder / "configs" / "config.yaml"
    before = config.read_text()
    plan = ("run", "--dry-run", "--json", "training=sweep")
    try:
        config.write_text(before.replace("  learning_rate: 3e-3\n", ""))
        done = tunewright(swept.folder, *plan)
        assert {each["state"] for each in json.loads(done.stdout).values()} == {"would be skipped"}, (
            done.stdout
        )
    finally:
        config.write_text(before)
    theirs = option.read_text() + "# mine now\n"
    option.write_text(theirs)
    again = tunewright(swept.folder, *SWEEP)
    assert json.loads(again.stdout.splitlines()[-1])["option"] is None
    assert option.read_text() == theirs


def test_a_hopeless_trial_is_pruned_and_keeps_its_adapter(tmp_path, tiny_base, messages):
    """Six rates that leave the fitted head as it is, and one that ruins it; with this seed it comes last."""
    project = made(tmp_path / "shop", tiny_base, messages)
    rates = "training.learning_rate=1e-7,2e-7,3e-7,4e-7,5e-7,6e-7,0.5"
    done = tunewright(
        project, "sweep", "training=lora", rates, "--seed", "4", "--trials", "7", "--jobs", "2", "--json"
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    *others, last = facts["trials"]
    assert last["values"]["training.learning_rate"] == 0.5
    assert (last["state"], len(last["scores"])) == ("pruned", 1)
    assert {(each["state"], len(each["scores"])) for each in others} == {("complete", 2)}
    client = store(project)
    run = client.get_run(last["run_id"])
    assert (run.info.status, run.data.tags["tunewright.state"]) == ("FINISHED", "pruned")
    assert [each.path for each in client.list_artifacts(last["run_id"], "classifier")]


def test_trials_that_all_fail_stop_the_sweep_are_tried_once_more_and_then_given_up(
    tmp_path, tiny_base, messages
):
    project = made(tmp_path / "shop", tiny_base, messages)
    layers = "training.lora.target_modules=choice([nowhere],[neither],[nor],[never])"
    command = ("sweep", "training=lora", layers, "--jobs", "2", "--seed", "1")
    first = tunewright(project, *command)
    assert first.returncode == 1
    complaint = only_complaint(first.stderr)
    assert "3 trials failed" in complaint
    assert "has no linear layer" in complaint
    assert "tries them again" in complaint
    again = tunewright(project, *command)
    assert again.returncode == 1
    assert "no trial ended well" in only_complaint(again.stderr)
    assert "going on: " in again.stderr
    client = store(project)
    found = client.search_runs(["1"], "tags.`tunewright.kind` = 'trial'")
    assert len(found) == 4
    assert {(run.info.status, run.data.tags["tunewright.state"]) for run in found} == {("FAILED", "failed")}
    assert all("has no linear layer" in run.data.tags["tunewright.error"] for run in found)
