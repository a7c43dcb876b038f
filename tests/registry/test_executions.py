"""Runs: one parent a step, one child an execution, the right status, nothing secret, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tunewright.config.schema import Recipe
from tunewright.registry.executions import execution
from tunewright.support.errors import InputError, TunewrightError

LOG_AND_SHOW = """
import sys
from pathlib import Path
from tunewright.config.schema import Recipe
from tunewright.support.paths import ProjectPaths
from tunewright.registry.tracking import connect
from tunewright.registry.executions import execution

tracking = connect(Recipe(project="spam"), ProjectPaths(Path(sys.argv[1])))
with execution(tracking, "train", params={"a": 1}) as run:
    for step in range(20):
        run.metrics({"loss": 1 / (step + 1)}, step)
    run.require_metrics("loss")
    print(run.run_id, run.parent_run_id, flush=True)
    if len(sys.argv) > 2:
        import time
        time.sleep(60)
"""


@pytest.mark.slow
def test_eight_processes_at_once_in_a_new_project_make_eight_runs_of_one_step(tmp_path):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", LOG_AND_SHOW, str(tmp_path / "new")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    ended = [(*process.communicate(), process.returncode) for process in started]
    assert [code for _, _, code in ended] == [0] * 8, "\n".join(error for _, error, _ in ended)
    runs = [output.split() for output, _, _ in ended]
    assert len({run for run, _ in runs}) == 8
    assert len({parent for _, parent in runs}) == 1


@pytest.mark.slow
def test_a_killed_execution_is_continued(tmp_path, open_project):
    tracking = open_project("p").tracking
    process = subprocess.Popen(
        [sys.executable, "-c", LOG_AND_SHOW, str(tmp_path / "p"), "sleep"], stdout=subprocess.PIPE, text=True
    )
    run_id, _ = process.stdout.readline().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert tracking.client.get_run(run_id).info.status == "RUNNING"
    with execution(tracking, "train", params={"a": 2, "b": 3}, resume=run_id) as run:
        run.metrics({"loss": 0.01}, 20)
    ended = tracking.client.get_run(run_id)
    assert ended.info.status == "FINISHED"
    assert ended.data.params == {"a": "1", "b": "3"}
    assert ended.data.tags["tunewright.resumed"] == "1"
    assert len(tracking.client.get_metric_history(run_id, "loss")) == 21


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (None, "FINISHED"),
        (ValueError("it broke at http://me:secret@host/x"), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
    ],
)
def test_the_status_tells_how_an_execution_ended(tracking, raised, status):
    seen = []

    def work():
        with execution(tracking, "train") as run:
            seen.append(run.run_id)
            run.metrics({"loss": 1.0}, 1)
            if raised is not None:
                raise raised

    if raised is None:
        work()
    else:
        with pytest.raises(type(raised)):
            work()
    ended = tracking.client.get_run(seen[0])
    assert ended.info.status == status
    assert ended.data.metrics == {"loss": 1.0}
    if status == "FAILED":
        assert ended.data.tags["tunewright.error"] == "it broke at http://host/x"


def test_executions_of_a_step_share_a_parent_and_have_names_of_their_own(tracking):
    runs = []
    for step in ("train", "train", "evaluate"):
        with execution(tracking, step, tags={"note": "x"}) as run:
            runs.append(run)
    assert runs[0].parent_run_id == runs[1].parent_run_id != runs[2].parent_run_id
    assert len({run.name for run in runs}) == 3
    child = tracking.client.get_run(runs[0].run_id)
    assert child.data.tags["mlflow.parentRunId"] == runs[0].parent_run_id
    assert child.data.tags["tunewright.step"] == "train"
    assert child.data.tags["tunewright.note"] == "x"
    assert tracking.client.get_run(runs[0].parent_run_id).info.run_name == "train"


def test_a_run_without_figures_fails_loudly(tracking):
    with pytest.raises(TunewrightError, match="no metric arrived"), execution(tracking, "train") as run:
        run.require_metrics()
    with execution(tracking, "train") as run:
        run.metrics({"loss": float("nan")}, 1)
        run.require_metrics("loss")
        with pytest.raises(TunewrightError, match="no f1 arrived"):
            run.require_metrics("loss", "f1")


def test_the_recipe_is_recorded_without_secrets_and_within_limits(tracking, tmp_path):
    recipe = Recipe.model_validate({"data": {"source": "s3://key:hunter2@bucket/data.csv"}})
    with execution(tracking, "train", recipe=recipe, params={"long": "x" * 10_000}) as run:
        pass
    ended = tracking.client.get_run(run.run_id)
    assert ended.data.params["data.source"] == "s3://bucket/data.csv"
    assert ended.data.params["training.lora.r"] == "8"
    assert len(ended.data.params["long"]) == 6000
    path = tracking.client.download_artifacts(run.run_id, "recipe.json", str(tmp_path))
    text = Path(path).read_text()
    assert "hunter2" not in text
    assert Recipe.model_validate(json.loads(text)).seed == recipe.seed
    assert len(ended.data.tags["tunewright.recipe_digest"]) == 64


def test_resuming_what_is_not_there_is_one_clear_line(tracking):
    with (
        pytest.raises(InputError, match="no such run to resume"),
        execution(tracking, "train", resume="0" * 32),
    ):
        pass
    with execution(tracking, "train") as run:
        pass
    message = "belongs to the step train, not evaluate"
    with pytest.raises(InputError, match=message), execution(tracking, "evaluate", resume=run.run_id):
        pass


def test_an_artefact_that_does_not_exist_is_named(tracking, tmp_path):
    with pytest.raises(InputError, match=r"nothing\.html: no such file"), execution(tracking, "train") as run:
        run.artifact(tmp_path / "nothing.html")


def test_figures_are_sent_in_batches(tracking, monkeypatch):
    sent = []
    log_batch = tracking.client.log_batch

    def counted(run_id, **values):
        sent.append(len(values.get("metrics", ())))
        return log_batch(run_id, **values)

    monkeypatch.setattr(tracking.client, "log_batch", counted)
    with execution(tracking, "train") as run:
        for step in range(600):
            run.metrics({"loss": 1.0, "rate": 2.0}, step)
    requests = [count for count in sent if count]
    assert sum(requests) == 1200
    assert len(requests) <= 5
    assert os.environ.get("MLFLOW_RUN_ID") is None


def test_a_table_grows_by_steps_and_a_resumed_run_adds_none_twice(tracking):
    told = [{"prompt": "a", "answer": "b"}]
    with execution(tracking, "train") as run:
        run.table("samples", told, 1)
        run.table("samples", told, 2)
    with execution(tracking, "train", resume=run.run_id) as again:
        again.table("samples", told, 2)
        again.table("samples", [{"prompt": "a", "answer": "c"}], 3)
    found = tracking.client.load_table(tracking.experiment_id, "samples.json", [run.run_id])
    assert found[["step", "prompt", "answer"]].to_numpy().tolist() == [
        [1, "a", "b"], [2, "a", "b"], [3, "a", "c"],
    ]  # fmt: skip
