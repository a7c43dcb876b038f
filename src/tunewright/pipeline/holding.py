"""Hold the data at an older version: ``tunewright data restore`` sets it, ``data release`` ends it.

The user's source is theirs and stays as it is, so after a restore it holds other rows than the data set. While the data
is held, the steps that make data are skipped, and the source is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from tunewright.pipeline.executing import settings_of
from tunewright.pipeline.steps import BY_NAME, STEPS
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import read_json, write_json

if TYPE_CHECKING:
    from tunewright.pipeline.job import Job
    from tunewright.support.paths import ProjectPaths


MAKES_DATA = frozenset(step.name for step in STEPS if step.cached)


class Hold(BaseModel):
    """The version at which a project's data is held."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    commit: str
    digest: str
    """Of the data set."""
    asked: str
    """The words with which the user named it."""
    settings: dict[str, object]
    """What the steps that made it had read from the recipe, by dotted name."""


def held(paths: ProjectPaths) -> Hold | None:
    """Return the version at which the data is held, if it is.

    Raises:
        TunewrightError: When the note about it is damaged.
    """
    path = _path(paths)
    if not path.is_file():
        return None
    try:
        return Hold.model_validate(read_json(path))
    except ValueError as error:
        raise TunewrightError(
            "doesn't say what is held", place=str(path), mend="`tunewright data release`"
        ) from error


def hold(paths: ProjectPaths, version: Hold) -> None:
    """Hold the data at a version."""
    write_json(_path(paths), version.model_dump(mode="json"))


def release(paths: ProjectPaths) -> bool:
    """Let the data follow the source again.

    Returns:
        False when it did already.
    """
    path = _path(paths)
    was_held = path.exists()
    path.unlink(missing_ok=True)
    return was_held


def without_held(reasons: Mapping[str, tuple[str, ...]], job: Job) -> dict[str, tuple[str, ...]]:
    """Take the steps that make data out of those that must run, when the data is held.

    Args:
        reasons: Why each step must run.
        job: The recipe and the project.

    Raises:
        InputError: When the recipe asks for data that is made in another way than the held version.
    """
    version = held(job.paths)
    if version is None:
        return dict(reasons)
    for step in (BY_NAME[name] for name in reasons if name in MAKES_DATA):
        for name, value in settings_of(job.recipe, step.name).items():
            if name in version.settings and name != "data.source" and version.settings[name] != value:
                raise InputError(
                    f"the data is held at {version.commit[:10]}, made with {version.settings[name]!r}, "
                    f"but the recipe says {value!r}",
                    place=name,
                    mend="`tunewright data release` lets the data follow the source and the recipe again",
                )
    return {name: () if name in MAKES_DATA else why for name, why in reasons.items()}


def _path(paths: ProjectPaths) -> Path:
    return paths.state / "held.json"
