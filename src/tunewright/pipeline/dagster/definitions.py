"""All that Dagster needs to know of a project, in one object."""

from __future__ import annotations

import dagster as dg

from tunewright.config.schema import Recipe
from tunewright.pipeline.dagster.assets import CHECKS, SOURCE_ASSET, step_assets
from tunewright.pipeline.dagster.jobs import JOBS
from tunewright.pipeline.dagster.resource import ProjectResource, open_project
from tunewright.pipeline.dagster.sensors import schedules, sensors
from tunewright.support.errors import InputError


def definitions() -> dg.Definitions:
    """Make assets, checks, jobs, sensors and schedules from the table of steps and the project around.

    Outside a project the sensors and the schedule have their defaults.
    """
    recipe = _recipe()
    settings = recipe.orchestration
    return dg.Definitions(
        assets=[SOURCE_ASSET, *step_assets(recipe)],
        asset_checks=list(CHECKS),
        jobs=list(JOBS.values()),
        sensors=sensors(settings),
        schedules=schedules(settings),
        resources={"project": ProjectResource()},
        executor=dg.in_process_executor,
    )


def _recipe() -> Recipe:
    try:
        return open_project().compose()
    except InputError:
        return Recipe()
