"""What a sweep searches, how, and by what it is known again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.data.dataset import Dataset
from tunewright.pipeline.search_space import SECTIONS, SearchSpace
from tunewright.pipeline.sweep_words import WITHOUT_EFFECT
from tunewright.registry.records import flat
from tunewright.support.digests import digest_json

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.pipeline.project import Project
    from tunewright.support.paths import ProjectPaths

STUDY_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """How to search, beside the space."""

    trials: int = 20
    jobs: int = 1
    seed: int = 42
    metric: str | None = None
    """Of the validation rows; ``None`` takes ``evaluation.primary_metric``."""
    name: str = "sweep"
    prunes: bool = True


@dataclass(frozen=True, slots=True)
class Search:
    """A sweep whose data is there: everything that its parts need."""

    project: Project
    space: SearchSpace
    settings: SweepSettings
    recipe: Recipe
    """The project's, with the overrides that hold for all trials."""
    data_digest: str
    identity: str

    @property
    def folder(self) -> Path:
        """Local state of the trials."""
        return self.project.paths.state / "sweeps" / f"{self.settings.name}-{self.identity}"

    @property
    def page_folder(self) -> Path:
        """What a person reads."""
        return self.project.paths.reports / "sweep" / self.settings.name

    def overrides(self, values: dict[str, Any]) -> list[str]:
        """Return all overrides of a trial."""
        return [*self.space.fixed, *self.space.words(values)]

    @property
    def limit(self) -> int:
        """How many trials there are to be: not more than the space has points."""
        return int(min(self.settings.trials, self.space.size))


def digests_of_bases(candidates: list[Recipe], paths: ProjectPaths) -> list[str]:
    """Return the digests of all bases that a trial may start from; an unknown one is refused here."""
    from tunewright.models.catalogue import resolve

    models = {
        recipe.model.model_dump_json(include={"name", "revision"}): recipe.model for recipe in candidates
    }
    return sorted({resolve(model, base_dir=paths.root).digest for model in models.values()})


def identified(project: Project, space: SearchSpace, settings: SweepSettings, bases: list[str]) -> Search:
    """Give the sweep its identity: what its trials depend on, but not how many they are."""
    recipe = project.compose(space.fixed)
    data_digest = Dataset.load(project.paths.processed).manifest.digest
    free = {each.key for each in space.dimensions} | WITHOUT_EFFECT
    settled = flat(recipe.model_dump(mode="json", include=set(SECTIONS)))
    facts = {
        "name": settings.name,
        "space": sorted((each.key, repr(each.domain)) for each in space.dimensions),
        "fixed": {key: value for key, value in settled.items() if key not in free},
        "metric": recipe.evaluation.primary_metric,
        "data": data_digest,
        "bases": bases,
        "seeds": [recipe.seed, settings.seed],
    }
    return Search(project, space, settings, recipe, data_digest, digest_json(facts)[:STUDY_CHARACTERS])
