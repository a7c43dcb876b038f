"""Pointer files: which models in the tracking store the steps before have made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.support.errors import TunewrightError
from tunewright.support.files import read_json

if TYPE_CHECKING:
    from tunewright.pipeline.job import Job
    from tunewright.registry.logged import LoggedModel
    from tunewright.support.paths import ProjectPaths

BASE = "base.json"
CANDIDATE = "candidate.json"


def pointed_at(paths: ProjectPaths) -> tuple[str, ...]:
    """Return the logged models that the steps' pointer files name: later steps need them, registered or not."""
    return tuple(logged_in(paths, name).uri for name in (BASE, CANDIDATE) if (paths.models / name).is_file())


def lost(job: Job) -> dict[str, str]:
    """Find pointer files whose model the tracking store no longer holds.

    Returns:
        By path, a clause that says so: the step that gives the file must run again.
    """
    from tunewright.registry.presence import is_gone, store_uri

    uri = store_uri(job.recipe, job.paths)
    found = {}
    for name in (BASE, CANDIDATE):
        try:
            model_id = logged_in(job.paths, name).model_id
        except TunewrightError:  # absent or damaged: DVC notices that by itself
            continue
        if is_gone(uri, model_id):
            path = (job.paths.models / name).relative_to(job.paths.root)
            found[path.as_posix()] = "the tracking store doesn't hold its model"
    return found


def logged_in(paths: ProjectPaths, name: str) -> LoggedModel:
    """Read which logged model a pointer file names.

    Raises:
        InputError: When there is no such file.
        TunewrightError: When it is damaged.
    """
    from tunewright.registry.logged import LoggedModel

    path = paths.models / name
    facts = read_json(path)
    try:
        return LoggedModel.model_validate(facts["logged"] if name == CANDIDATE else facts)
    except (KeyError, TypeError, ValueError) as error:
        raise TunewrightError(
            "doesn't name a logged model", place=str(path), mend="remove it and run `tunewright run`"
        ) from error
