"""Each execution of a step is a run in MLflow, whose ids stay in the project beside what the step gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from tunewright.pipeline.steps import find
from tunewright.support.digests import digest_json
from tunewright.support.errors import TunewrightError
from tunewright.support.files import read_json, write_json

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.pipeline.job import Job
    from tunewright.registry.executions import Execution
    from tunewright.registry.tracking import Tracking
    from tunewright.support.paths import ProjectPaths


class Names(BaseModel):
    """What a person finds the run by in MLflow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str
    step: str
    run: str


class ExecutionRecord(BaseModel):
    """The last execution of a step, kept in ``.tunewright/executions/STEP.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    """Empty from the moment before the run is created until its id is known: it is found by its name then."""
    parent_run_id: str
    names: Names
    settings: str
    """Digest of what the step read from the recipe."""
    ended: bool = False
    """False while it runs, and for ever when it was killed."""
    commit: str | None = None
    """The commit of the pointers to what it gave, once there is one."""


@contextmanager
def executing(
    job: Job,
    step: str,
    *,
    tags: Mapping[str, object] | None = None,
    resume: str | None = None,
    recipe: Recipe | None = None,
) -> Iterator[Execution]:
    """Record one execution of a step in MLflow and keep its ids.

    A step that was killed and starts again with the same settings goes on in the same run.

    Args:
        job: The recipe and the project.
        step: Its name in the table of steps.
        tags: Facts about it.
        resume: A run that must be continued; by default the killed one, if there is one.
        recipe: Give it to record the whole recipe, not only what the step reads.
    """
    from tunewright.registry.executions import execution, execution_name
    from tunewright.registry.tracking import connect

    tracking = connect(job.recipe, job.paths)
    settings = settings_of(job.recipe, step)
    digest = digest_json(settings)
    earlier = resume or _unfinished(job.paths, step, digest, tracking)
    every = {"recipe_digest": digest_json(job.recipe.model_dump(mode="json")), **(tags or {})}
    params = None if recipe else settings
    name = "" if earlier else execution_name(step)
    names = Names(experiment=tracking.experiment_name, step=step, run=name)
    record = ExecutionRecord(run_id=earlier or "", parent_run_id="", names=names, settings=digest)
    keep(job.paths, record)  # first: a kill between creating the run and keeping its id must not lose it
    with execution(
        tracking, step, params=params, tags=every, recipe=recipe, resume=earlier, name=name
    ) as run:
        known = {"run_id": run.run_id, "parent_run_id": run.parent_run_id}
        record = record.model_copy(update={**known, "names": names.model_copy(update={"run": run.name})})
        keep(job.paths, record)
        yield run
    keep(job.paths, record.model_copy(update={"ended": True}))


def settings_of(recipe: Recipe, step: str) -> dict[str, object]:
    """Return what a step reads from the recipe, by dotted name."""
    values = recipe.model_dump(mode="json")
    return {name: _at(values, name) for name in find(step).params}


def last_execution(paths: ProjectPaths, step: str) -> ExecutionRecord | None:
    """Return the last execution of a step in this checkout; ``None`` when there was none or its record is damaged."""
    path = _path(paths, step)
    if not path.is_file():
        return None
    try:
        return ExecutionRecord.model_validate(read_json(path))
    except (TunewrightError, ValueError):
        return None


def keep(paths: ProjectPaths, record: ExecutionRecord) -> None:
    """Keep a record as its step's last one."""
    write_json(_path(paths, record.names.step), record.model_dump(mode="json"))


def _path(paths: ProjectPaths, step: str) -> Path:
    return paths.executions / f"{step}.json"


def _at(values: dict[str, Any], name: str) -> object:
    found: Any = values
    for part in name.split("."):
        found = found[part]
    return found


def _unfinished(paths: ProjectPaths, step: str, settings: str, tracking: Tracking) -> str | None:
    """Return the run of a killed execution with the same settings; one with others is closed."""
    from tunewright.registry.past_runs import find_execution, is_open, set_killed

    record = last_execution(paths, step)
    if record is None or record.ended:
        return None
    run_id = record.run_id or find_execution(tracking, record.names.run)
    if run_id is None or not is_open(tracking, run_id):
        return None
    if record.settings == settings:
        return run_id
    set_killed(tracking, run_id)
    return None
