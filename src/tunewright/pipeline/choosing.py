"""Choose the best registered version for the present data, and let it challenge the champion."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tunewright.pipeline.gating import decide_about
from tunewright.pipeline.job import Job
from tunewright.support.errors import InputError
from tunewright.support.files import write_json

if TYPE_CHECKING:
    from tunewright.pipeline.project import Project
    from tunewright.registry.references import Version


def choose_best(project: Project) -> dict[str, Any]:
    """Let the version with the best primary metric on the present frozen test rows challenge the champion.

    Returns:
        The gate's verdict, as ``reports/verdict.json`` holds it.

    Raises:
        InputError: When no tuned version was measured on the present data.
    """
    from tunewright.evaluation.predictions import predict_split
    from tunewright.registry.models import load
    from tunewright.registry.references import versions_of
    from tunewright.registry.tracking import connect

    job = Job(project.last_recipe(), project.paths)
    dataset, metric = project.dataset(), job.recipe.evaluation.primary_metric
    tracking = connect(job.recipe, job.paths)
    measured = [
        (figure, version)
        for version in versions_of(tracking, tracking.model_name)
        if version.facts.get("data_digest") == dataset.manifest.digest
        and version.facts.get("role") == "tuned"
        and (figure := _figure(version, metric)) is not None
    ]
    if not measured:
        raise InputError(
            "no tuned version was measured on the present data",
            place=tracking.model_name,
            mend="`tunewright run` makes one",
        )
    figure, best = max(measured, key=lambda pair: (pair[0], pair[1].version))
    classifier = load(tracking, best.reference)
    answers = predict_split(
        classifier,
        dataset.examples("test"),
        name=f"version {best.version} ({metric} {figure:.4f})",
        role="tuned",
        config=job.recipe.evaluation,
        size_bytes=int(best.facts.get("size_bytes", 0)) or classifier.size_bytes,
    )
    verdict = decide_about(job, best.version, answers)
    write_json(job.paths.reports / "choice.json", verdict)
    return verdict


def _figure(version: Version, metric: str) -> float | None:
    """Read a version's figure from its facts."""
    figures: dict[str, float] = json.loads(version.facts.get("metrics") or "{}")
    return figures.get(metric)
