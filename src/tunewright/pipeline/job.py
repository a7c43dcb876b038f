"""What a step's function is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.support.paths import ProjectPaths


@dataclass(frozen=True, slots=True)
class Job:
    """A recipe and the project in which it runs."""

    recipe: Recipe
    paths: ProjectPaths
