"""Walk the table of steps in one process: skip what is unchanged, run the rest, record each as it ends.

DVC decides what changed; this module only asks. A step that is killed leaves no record, so the next run starts with
it, and what the step had saved of itself (a checkpoint) lets it go on.
"""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from tunewright.pipeline.dvc import Records, open_records
from tunewright.pipeline.dvcfile import DVC_FILE, FINGERPRINT, PARAMS_FILE, recorded_source, write_pipeline
from tunewright.pipeline.holding import held, without_held
from tunewright.pipeline.job import Job
from tunewright.pipeline.pointers import lost
from tunewright.pipeline.steps import SOURCE, STEPS, Step, find, select, table
from tunewright.pipeline.versioning import Versioning
from tunewright.support.console import say
from tunewright.support.errors import InputError
from tunewright.support.files import write_json, writing
from tunewright.support.locks import locked

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.support.paths import ProjectPaths

CREDENTIALS = re.compile(r"://[^/@\s]*:[^/@\s]*@")
State = Literal["ran", "skipped", "would run", "would be skipped"]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of one step."""

    name: str
    state: State
    reasons: tuple[str, ...]
    """Why it ran; empty when it was skipped."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Choice:
    """Which steps to walk, and how."""

    start: str | None = None
    until: str | None = None
    only: str | None = None
    force: bool = False
    dry_run: bool = False


def run(recipe: Recipe, paths: ProjectPaths, choice: Choice | None = None) -> tuple[StepResult, ...]:
    """Run the pipeline of a project.

    Args:
        recipe: The composed recipe; it is written to ``params.json``.
        paths: The project.
        choice: Which steps, and whether to run unchanged ones or none at all.

    Returns:
        One result a selected step, in order.

    Raises:
        InputError: When the source is missing or a step refuses its input.
        TunewrightError: When a step fails.
    """
    choice = choice or Choice()
    steps = select(table(recipe), start=choice.start, until=choice.until, only=choice.only)
    with (
        locked(paths.state / "run.lock", what="the run of this project"),
        _unchanged(paths) if choice.dry_run else nullcontext(),
    ):
        source = recorded_source(paths) if held(paths) else source_dependencies(recipe, paths)
        write_pipeline(paths.root, recipe, source)
        with open_records(paths.root) as records:
            walk = _plan if choice.dry_run else _walk
            return tuple(walk(steps, Job(recipe, paths), records, force=choice.force))


@contextmanager
def _unchanged(paths: ProjectPaths) -> Iterator[None]:
    """Put the files that DVC reads for a plan back as they were."""
    files = [paths.root / name for name in (PARAMS_FILE, DVC_FILE, FINGERPRINT)]
    before = {file: file.read_bytes() if file.is_file() else None for file in files}
    try:
        yield
    finally:
        for file, content in before.items():
            if content is None:
                file.unlink(missing_ok=True)
            elif file.read_bytes() != content:
                with writing(file) as temporary:
                    temporary.write_bytes(content)


def run_step(name: str, job: Job) -> None:
    """Call one step's function; this is what ``tunewright step NAME`` and so ``dvc repro`` do."""
    function_of(find(name, table(job.recipe)))(job)


def function_of(step: Step) -> Callable[[Job], None]:
    """Import the function that a step names."""
    module, _, name = step.function.partition(":")
    function: Callable[..., None] = getattr(importlib.import_module(module), name)
    return partial(function, name=step.argument) if step.argument else function


def source_dependencies(recipe: Recipe, paths: ProjectPaths) -> tuple[str, ...]:
    """Return the paths that stand for the source in ``dvc.yaml``; a remote one gets a fingerprint file.

    Raises:
        InputError: When no source is set, it doesn't exist, or it can't be reached.
    """
    from tunewright.data.sources import fingerprint, local_files

    if not recipe.data.source:
        raise InputError(
            "is not set",
            place="data.source",
            mend="give a file, folder, URL or data set id: `tunewright run data.source=PATH`, or set it in configs/",
        )
    if CREDENTIALS.search(recipe.data.source):
        raise InputError(
            "holds a password, which would be written to params.json",
            place="data.source",
            mend="take it out and give it in the environment, as the object store's own library reads it",
        )
    files = local_files(recipe.data, base_dir=paths.root)
    if files:
        return tuple(_relative(str(file.resolve()), paths) for file in files)
    identity = fingerprint(recipe.data, base_dir=paths.root)
    path = paths.root / FINGERPRINT
    write_json(path, {"source": recipe.data.source, **identity})
    return (FINGERPRINT,)


def _relative(file: str, paths: ProjectPaths) -> str:
    root = f"{paths.root}/"
    return file.removeprefix(root) if file.startswith(root) else file


def _walk(steps: tuple[Step, ...], job: Job, records: Records, *, force: bool) -> Iterator[StepResult]:
    reasons_by_step = _reasons(steps, job, records, force=force)
    versioning = Versioning(job, records)
    for position, step in enumerate(steps, start=1):
        reasons = reasons_by_step[step.name]
        if not reasons:
            versioning.record(step)
            yield StepResult(step.name, "skipped", (), 0.0)
            continue
        _refuse_missing_inputs(step, job)
        started = time.perf_counter()
        say(f"[{position}/{len(steps)}] {step.name}: {step.summary}")
        result = perform(step, job, records, versioning, force=force)
        reasons_by_step = _reasons(steps[position:], job, records, force=force)
        yield StepResult(step.name, result, reasons, round(time.perf_counter() - started, 3))
    if any(not step.cached for step in steps):
        versioning.finish()


def version_outstanding(job: Job) -> None:
    """Commit and push what the steps gave and could not be committed before; run nothing."""
    with (
        locked(job.paths.state / "run.lock", what="the run of this project"),
        open_records(job.paths.root) as records,
    ):
        versioning = Versioning(job, records)
        for step in STEPS:
            versioning.record(step)
        versioning.finish()


def perform(
    step: Step, job: Job, records: Records, versioning: Versioning, *, force: bool
) -> Literal["ran", "skipped"]:
    """Give a step's outputs for its present inputs: from DVC's run cache, or by running it; record and version them.

    Returns:
        ``skipped`` when an earlier execution with the same inputs had given them.
    """
    if step.recalled and not force and records.recall(step.name):
        lost_models = lost(job)
        if not any(path in lost_models for path in step.gives):
            say("    seen before with the same inputs and settings: taken from the cache")
            versioning.recalled(step)
            return "skipped"
    function_of(step)(job)
    records.commit(step.name, remember=step.recalled)
    versioning.record(step)
    return "ran"


def _plan(steps: tuple[Step, ...], job: Job, records: Records, *, force: bool) -> Iterator[StepResult]:
    """Say what would run and why, taking it that a step which runs gives something new."""
    new: dict[str, str] = {}
    reasons_by_step = _reasons(steps, job, records, force=force)
    for step in steps:
        reasons = reasons_by_step[step.name]
        upstream = tuple(f"{path} comes anew from {new[path]}" for path in step.takes if path in new)
        reasons = tuple(each for each in reasons if each.split(" ")[0] not in new) + upstream
        if reasons:
            new |= dict.fromkeys(step.gives, step.name)
        yield StepResult(step.name, "would run" if reasons else "would be skipped", reasons, 0.0)


def _reasons(
    steps: tuple[Step, ...], job: Job, records: Records, *, force: bool
) -> dict[str, tuple[str, ...]]:
    """Say why each step must run: what DVC sees changed, and models that only the tracking store could have lost."""
    names = [step.name for step in steps]
    if force:
        return without_held(dict.fromkeys(names, ("forced",)), job)
    changes, missing = records.changes(names), lost(job)
    reasons = {
        step.name: changes[step.name]
        + tuple(f"{path}: {missing[path]}" for path in step.gives if path in missing)
        for step in steps
    }
    return without_held(reasons, job)


def _refuse_missing_inputs(step: Step, job: Job) -> None:
    for path in step.takes:
        if path != SOURCE and not (job.paths.root / path).exists():
            raise InputError(
                f"is missing, and step {step.name} reads it",
                place=path,
                mend="`tunewright run` without --from or --only makes it",
            )
