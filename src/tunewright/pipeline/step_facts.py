"""What several steps say about themselves: their base, their data, how good a forecast was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunewright.support.console import say
from tunewright.support.files import read_json

if TYPE_CHECKING:
    from tunewright.data.dataset import Dataset
    from tunewright.models.catalogue import Base
    from tunewright.pipeline.job import Job
    from tunewright.training.candidate import TrainingFigures

CHECK = "check.json"


def base_of(job: Job) -> Base:
    """Find the base that the recipe names, and check its files."""
    from tunewright.models.catalogue import resolve

    return resolve(job.recipe.model, base_dir=job.paths.root)


def cleaning(job: Job) -> dict[str, object]:
    """Return the settings of the cleaning, which a classifier repeats on what it is asked."""
    return job.recipe.data.cleaning.model_dump(mode="json")


def tags(dataset: Dataset) -> dict[str, object]:
    """Name the data set for the run."""
    return {"data_digest": dataset.manifest.digest}


def data_tags(job: Job, dataset: Dataset) -> dict[str, object]:
    """Name the data set and, where its pointers are committed, the commit."""
    from tunewright.pipeline.history import find_digest
    from tunewright.pipeline.repository import Repository

    known = find_digest(Repository(job.paths.root), "split", dataset.manifest.digest)
    return {**tags(dataset), **({"data_commit": known.commit} if known else {})}


def forecast_score(job: Job, figures: TrainingFigures) -> dict[str, Any]:
    """Hold the forecast of the check against what the training took."""
    from tunewright.training.forecast import Forecast, score

    expected = Forecast.model_validate(read_json(job.paths.reports / CHECK)["forecast"])
    scored = score(expected, figures)
    say(f"    {scored.describe()}")
    facts: dict[str, Any] = scored.model_dump(mode="json")
    if expected.memory:
        facts["memory"] = {f"{name}_bytes": size for name, size in expected.memory.model_dump().items()}
    return facts


def provenance(pointer: dict[str, Any], dataset: Dataset) -> dict[str, object]:
    """Return what a report says about where its model comes from; ``pointer`` is that of the candidate."""
    logged = pointer["logged"]
    return {
        "model": logged["uri"],
        "run": logged["run_id"],
        "weights": logged["digest"],
        "certificate": logged["certificate"],
        "base": pointer["base"]["name"],
        "data": dataset.manifest.digest,
    }
