"""Open the user's project: find it, read its ``.env``, compose its recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.pipeline.project import Project
    from tunewright.support.paths import ProjectPaths


def open_project() -> Project:
    """Open the project around the working directory.

    Raises:
        InputError: When there is none.
    """
    from tunewright.pipeline.project import Project

    return Project.open()


def project_if_any(overrides: Sequence[str] = ()) -> tuple[Recipe, ProjectPaths | None]:
    """Return the recipe and the paths of the project around the working directory; outside one, the defaults.

    Raises:
        InputError: For an override that can't be used.
    """
    from tunewright.config.compose import compose
    from tunewright.support.paths import ProjectPaths

    try:
        ProjectPaths.find()
    except InputError:
        return compose(["data=chat", *overrides]), None
    project = open_project()
    return (project.compose(overrides) if overrides else project.last_recipe()), project.paths


def paths_from_here(overrides: Sequence[str], paths: ProjectPaths) -> list[str]:
    """Let a relative ``data.source`` or ``model.name`` mean the file that the user sees from where they stand."""
    from pathlib import Path

    words = []
    for word in overrides:
        key, equals, value = word.partition("=")
        seen = Path.cwd() / value
        if (
            key in ("data.source", "model.name")
            and equals
            and value
            and Path.cwd() != paths.root
            and seen.exists()
        ):
            words.append(f"{key}={seen}")
        else:
            words.append(word)
    return words
