"""The project as a Dagster resource: where it is, and what of its recipe a run changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from tunewright.pipeline.project import Project
    from tunewright.pipeline.runner import StepResult

PROJECT = "TUNEWRIGHT_PROJECT"
"""Environment variable that names the project's folder where the working directory isn't in it."""


class ProjectResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A tunewright project; the same for every asset and op of a run."""

    overrides: list[str] = Field(
        default_factory=list, description="Parts of the recipe, as after `tunewright run`: training.epochs=1"
    )
    force: bool = Field(default=False, description="Run steps although nothing changed.")

    def open(self) -> Project:
        """Open the project around the working directory, or the one that the environment names."""
        return open_project()

    def run_step(self, name: str) -> StepResult:
        """Bring one step up to date: run it, take it from the cache, or find that nothing changed."""
        from tunewright.pipeline.runner import Choice

        outcome = self.open().run(self.overrides, choice=Choice(only=name, force=self.force))
        return outcome.steps[0]


def open_project() -> Project:
    """Open the project that this process works for."""
    from tunewright.pipeline.project import Project
    from tunewright.support.environment import quieten_libraries

    quieten_libraries()
    named = os.environ.get(PROJECT)
    return Project.open(Path(named) if named else None)


@contextmanager
def failures() -> Iterator[None]:
    """Turn our errors into Dagster's: wrong input is not tried again, another failure is.

    Raises:
        dagster.Failure: With the one line that the command line would print.
    """
    try:
        yield
    except InputError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except TunewrightError as error:
        raise dg.Failure(str(error)) from error
