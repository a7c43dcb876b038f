"""Runs in MLflow: an experiment a project, a parent run a step, a child run an execution."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.registry.git import git_state
from tunewright.registry.records import MAX_PARAM_CHARACTERS, bounded, cleaned, dataset_entity, flat, tags_of
from tunewright.registry.tracking import PREFIX, Tracking, explained
from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError, TunewrightError, nearest
from tunewright.support.files import read_json, write_json, write_text

if TYPE_CHECKING:
    from mlflow.entities import Metric

    from tunewright.config.schema import Recipe
    from tunewright.data.dataset import Dataset

FLUSH_POINTS = 500
"""Points kept back at most; one request carries them all (MLflow allows 1,000)."""
FLUSH_SECONDS = 10.0
MAX_BATCH = 100
CONTEXTS = {"train": "training", "validation": "validation", "test": "test"}
STOPPED = (KeyboardInterrupt, SystemExit, GeneratorExit)


@dataclass(slots=True)
class Execution:
    """One execution of a step: a child run that takes metrics, data sets and artefacts."""

    tracking: Tracking
    run_id: str
    parent_run_id: str
    name: str
    _points: list[Metric] = field(default_factory=list, repr=False)
    _tables: dict[str, set[int]] = field(default_factory=dict, repr=False)
    _flushed_at: float = field(default_factory=time.monotonic, repr=False)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record figures of one training step; they are sent in batches."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._points += [Metric(name, float(value), now, step) for name, value in values.items()]
        if len(self._points) >= FLUSH_POINTS or time.monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self.flush()

    def table(self, name: str, rows: Sequence[Mapping[str, str]], step: int) -> None:
        """Add rows to the table ``name``.json, with their training step; a step that it has already stays as it is."""
        told = self._tables.get(name) or self._steps_of(name)
        if step in told or not rows:
            return
        columns: dict[str, list[Any]] = {"step": [step] * len(rows)}
        columns |= {column: [row[column] for row in rows] for column in rows[0]}
        with explained(self.tracking.uri):
            self.tracking.client.log_table(self.run_id, columns, f"{name}.json")
        self._tables[name] = told | {step}

    def flush(self) -> None:
        """Send the figures that were kept back."""
        points, self._points = self._points, []
        self._flushed_at = time.monotonic()
        with explained(self.tracking.uri):
            for start in range(0, len(points), FLUSH_POINTS):
                self.tracking.client.log_batch(self.run_id, metrics=points[start : start + FLUSH_POINTS])

    def params(self, values: Mapping[str, object]) -> None:
        """Record settings; nested ones get dotted names, those that the run has already are left alone."""
        from mlflow.entities import Param

        with explained(self.tracking.uri):
            client = self.tracking.client
            known = client.get_run(self.run_id).data.params
            fresh = [
                Param(name, bounded(value, MAX_PARAM_CHARACTERS))
                for name, value in flat(values).items()
                if name not in known
            ]
            for start in range(0, len(fresh), MAX_BATCH):
                client.log_batch(self.run_id, params=fresh[start : start + MAX_BATCH])

    def tags(self, values: Mapping[str, object]) -> None:
        """Tag the run; names without a dot get our prefix."""
        from mlflow.entities import RunTag

        tags = [RunTag(name, value) for name, value in tags_of(values).items()]
        with explained(self.tracking.uri):
            self.tracking.client.log_batch(self.run_id, tags=tags)

    def log_dataset(self, dataset: Dataset) -> None:
        """Record a data set's splits as inputs of the run, from the manifest alone."""
        from mlflow.entities import DatasetInput, InputTag

        inputs = [
            DatasetInput(dataset_entity(dataset, split), [InputTag("mlflow.data.context", context)])
            for split, context in CONTEXTS.items()
            if split in dataset.manifest.splits
        ]
        with explained(self.tracking.uri):
            self.tracking.client.log_inputs(self.run_id, datasets=inputs)
        self.tags({"data_digest": dataset.manifest.digest})

    def artifact(self, path: Path, folder: str = "") -> None:
        """Keep a file, or all files of a folder, with the run.

        Raises:
            InputError: When ``path`` doesn't exist.
        """
        if not path.exists():
            raise InputError("no such file", place=str(path), mend="run the step that makes it")
        with explained(self.tracking.uri):
            log = self.tracking.client.log_artifacts if path.is_dir() else self.tracking.client.log_artifact
            log(self.run_id, str(path), folder or None)

    def json(self, name: str, value: Any) -> None:  # noqa: ANN401
        """Keep a JSON file with the run; ``name`` is its path among the artefacts."""
        self._write(name, lambda path: write_json(path, value))

    def text(self, name: str, value: str) -> None:
        """Keep a text file with the run; ``name`` is its path among the artefacts."""
        self._write(name, lambda path: write_text(path, value))

    def require_metrics(self, *names: str) -> None:
        """Ask the store whether figures arrived.

        Args:
            names: Figures that must be there; without any, at least one of whatever name.

        Raises:
            TunewrightError: When one is missing.
        """
        self.flush()
        with explained(self.tracking.uri):
            arrived = self.tracking.client.get_run(self.run_id).data.metrics
        missing = [name for name in names if name not in arrived]
        if missing or not arrived:
            raise TunewrightError(
                f"no {missing[0] if missing else 'metric'} arrived in the run",
                place=f"{self.tracking.place} run {self.run_id}",
                mend="check that the training step gets this run as its recorder",
            )

    def _steps_of(self, name: str) -> set[int]:
        """Return the steps that a table of this run has, such as from before a kill."""
        file = f"{name}.json"
        with explained(self.tracking.uri), tempfile.TemporaryDirectory() as folder:
            client = self.tracking.client
            if file not in {item.path for item in client.list_artifacts(self.run_id)}:
                return set()
            found = read_json(Path(client.download_artifacts(self.run_id, file, folder)))
            at = found["columns"].index("step")
            return {int(row[at]) for row in found["data"]}

    def _write(self, name: str, write: Any) -> None:  # noqa: ANN401
        """Write a small file and hand it to MLflow."""
        target = Path(name)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / target.name
            write(path)
            self.artifact(path, "" if target.parent == Path() else target.parent.as_posix())


@contextmanager
def execution(
    tracking: Tracking,
    step: str,
    *,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    recipe: Recipe | None = None,
    resume: str | None = None,
    within: str | None = None,
    name: str = "",
) -> Iterator[Execution]:
    """Record one execution of a step; its end sets the run's status.

    A normal end gives FINISHED, an interruption KILLED, any other exception FAILED with its first line as
    the tag ``tunewright.error``. A process that is killed outright leaves the run RUNNING, to be resumed.

    Args:
        tracking: Where to record.
        step: Name of the step; its executions share one parent run.
        params: Settings; nested mappings get dotted names.
        tags: Facts; names without a dot get the prefix ``tunewright.``.
        recipe: Recorded as parameters, as ``recipe.json`` and as the tag ``recipe_digest``.
        resume: Id of an execution that was killed or failed, to be continued.
        within: Id of the execution of which this one is a trial; without it the step's parent run is the parent.
        name: The run's name; empty makes one from step and time.

    Raises:
        InputError: When the run to be resumed doesn't exist or belongs to another step.
    """
    with explained(tracking.uri):
        parent = within or _parent_run(tracking, step)
        if resume:
            run_id, name = _resumed(tracking, step, resume)
        else:
            kind = "trial" if within else "execution"
            facts = {**(tags or {}), "kind": kind, "step": step}
            run_id, name = _started(tracking, facts, parent, name)
    run = Execution(tracking, run_id, parent, name)
    try:
        if resume:
            run.tags(tags or {})
        run.params(params or {})
        if recipe is not None:
            _record_recipe(run, recipe)
        yield run
        run.flush()
    except STOPPED:
        _end_quietly(run, "KILLED")
        raise
    except BaseException as error:
        _end_quietly(run, "FAILED", error)
        raise
    with explained(tracking.uri):
        tracking.client.set_terminated(run_id, "FINISHED")


def execution_name(step: str) -> str:
    """Make the name of an execution: unique also among processes that start in the same moment."""
    return f"{step}-{datetime.now(timezone.utc):%Y%m%d-%H%M%S-%f}-{secrets.token_hex(2)}"


def _end_quietly(run: Execution, status: str, error: BaseException | None = None) -> None:
    """Close a run that failed; the first error is what the user must read, not one of the store."""
    with contextlib.suppress(TunewrightError):
        with explained(run.tracking.uri):  # first, so that a store that is gone is waited for only once
            run.tracking.client.set_terminated(run.run_id, status)
        if error is not None:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            run.tags({"error": lines[0]})
        run.flush()


def _parent_run(tracking: Tracking, step: str) -> str:
    """Return the step's one parent run, made on first use.

    Processes on this machine agree through a lock. On a server others may create one in the same moment:
    then the oldest wins everywhere, and whoever made a later one deletes it.
    """
    if found := _parents(tracking, step):
        return found[0]
    with tracking.locked(f"step-{digest_json(step)[:12]}", what=f"the record of the step {step}"):
        if found := _parents(tracking, step):
            return found[0]
        client = tracking.client
        tags = {PREFIX + "kind": "step", PREFIX + "step": step}
        made: str = client.create_run(tracking.experiment_id, run_name=step, tags=tags).info.run_id
        client.set_terminated(made, "FINISHED")
        winner = _parents(tracking, step)[0]
        if winner != made:
            client.delete_run(made)
        return winner


def _parents(tracking: Tracking, step: str) -> list[str]:
    """List the parent runs of a step, oldest first."""
    quoted = step.replace("'", "")
    runs = tracking.client.search_runs(
        [tracking.experiment_id],
        filter_string=f"tags.`{PREFIX}kind` = 'step' AND tags.`{PREFIX}step` = '{quoted}'",
    )
    return [run.info.run_id for run in sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))]


def _started(tracking: Tracking, facts: Mapping[str, object], parent: str, name: str = "") -> tuple[str, str]:
    """Create the child run with its tags in one request, so that a kill leaves none that can't be found again."""
    state = git_state(tracking.root)
    name = name or execution_name(str(facts["step"]))
    tags = {
        "mlflow.parentRunId": parent,
        "mlflow.source.name": "tunewright",
        **tags_of({**facts, "commit": state.commit or "", "dirty": state.dirty}),
    }
    if state.commit:
        tags["mlflow.source.git.commit"] = state.commit
    run = tracking.client.create_run(tracking.experiment_id, run_name=name, tags=tags)
    return run.info.run_id, name


def _resumed(tracking: Tracking, step: str, run_id: str) -> tuple[str, str]:
    """Set an earlier child run to RUNNING again."""
    from mlflow.exceptions import MlflowException

    try:
        run = tracking.client.get_run(run_id)
    except MlflowException as error:
        raise InputError(
            "no such run to resume", place=f"{tracking.place} run {run_id}", mend="start without resume"
        ) from error
    if (other := run.data.tags.get(PREFIX + "step")) != step:
        raise InputError(
            f"the run to resume belongs to the step {other}, not {step}",
            place=f"run {run_id}",
            mend=nearest(step, [other or ""]),
        )
    times = int(run.data.tags.get(PREFIX + "resumed", "0")) + 1
    tracking.client.set_tag(run_id, PREFIX + "resumed", str(times))
    tracking.client.update_run(run_id, status="RUNNING")
    return run_id, run.info.run_name


def _record_recipe(run: Execution, recipe: Recipe) -> None:
    """Keep the whole recipe: searchable as parameters, exact as a file."""
    values = recipe.model_dump(mode="json")
    run.params(values)
    run.tags({"recipe_digest": digest_json(values)})
    run.json("recipe.json", cleaned(values))
