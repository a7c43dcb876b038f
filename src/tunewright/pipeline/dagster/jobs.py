"""The jobs: parts of the asset graph, and the loop around it. Each has an example configuration in the project."""

from __future__ import annotations

from typing import TypeAlias

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from tunewright.pipeline.dagster.assets import DATA, MODELS, key_of
from tunewright.pipeline.dagster.ops import (
    answer_texts,
    challenge_champion,
    choose_rows,
    commit_data,
    commit_outputs,
    prepare_texts,
    search,
)
from tunewright.pipeline.steps import select

Job: TypeAlias = dg.JobDefinition | UnresolvedAssetJobDefinition


def _assets(name: str, description: str, *, until: str | None = None) -> Job:
    """Make a job of the steps up to one, or of all there are, with their checks."""
    every = dg.AssetSelection.groups(DATA, MODELS)
    chosen = dg.AssetSelection.assets(*map(key_of, select(until=until))) if until else every
    return dg.define_asset_job(name, selection=chosen, description=description)


@dg.job(description="Clean and judge unlabelled texts, so that they can be answered.")
def preprocess_unlabelled() -> None:
    """Take one source of texts in."""
    prepare_texts()


@dg.job(description="Answer texts with the champion.")
def infer() -> None:
    """Take one source in and answer it."""
    answer_texts(prepare_texts())


@dg.job(description="Choose the rows worth labelling among the newest answers.")
def sample() -> None:
    """Choose from answers that are there."""
    choose_rows()


@dg.job(description="Clean, answer and version new texts, and choose which of them to label.")
def preprocess_infer_version() -> None:
    """Do all that a new file asks for."""
    prepared = prepare_texts()
    answers = answer_texts(prepared)
    commit_outputs(prepared, [answers, choose_rows(answers)])


@dg.job(description="Search for the best recipe; the best is evaluated once, registered and gated.")
def tune() -> None:
    """Sweep."""
    search()


@dg.job(description="Let the best registered version for the present data challenge the champion.")
def choose_best() -> None:
    """Choose among versions."""
    challenge_champion()


@dg.job(description="Commit and push data whose pointers aren't, without making any.")
def version_data() -> None:
    """Version what there is."""
    commit_data()


JOBS: dict[str, Job] = {
    job.name: job
    for job in (
        _assets("clean", "Read and clean the source.", until="clean"),
        _assets("preprocess", "From the source to frozen splits.", until="split"),
        _assets("train", "From the source to a model version and the gate."),
        _assets("retrain", "The same, when labels, a schedule or a signal asks for it."),
        preprocess_unlabelled,
        infer,
        sample,
        preprocess_infer_version,
        tune,
        choose_best,
        version_data,
    )
}
"""By name; a sensor or a signal may ask for any of them."""
