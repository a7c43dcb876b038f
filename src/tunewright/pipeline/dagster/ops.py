"""The operations of the jobs around the asset graph: thin calls into the pipeline, with metadata.

Dagster reads annotations as they are, and refuses the strings that `from __future__ import annotations` makes of them.
"""

from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from tunewright.pipeline.dagster.metadata import run_link
from tunewright.pipeline.dagster.resource import ProjectResource, failures

RETRIES = dg.RetryPolicy(max_retries=1, delay=10)
NEWEST = ""
"""Stands for the newest answers, where a job starts without any."""


class Source(dg.Config):
    """Texts to take in."""

    source: str = Field(description="File, folder, pattern, URL or hub id; relative to the project.")
    overrides: list[str] = Field(default_factory=list, description="How it is read: data.text_column=body …")


class Sampling(dg.Config):
    """How many rows to choose, and how; empty takes what the recipe says."""

    rows: int | None = Field(default=None, description="Rows to choose.")
    strategy: str | None = Field(
        default=None, description="margin, entropy, least_confidence, diverse or random."
    )


class Tuning(dg.Config):
    """What to search for."""

    space: list[str] = Field(
        description="Overrides in Hydra's sweep syntax, and plain ones that hold for all trials."
    )
    trials: int = Field(default=12, ge=1)
    jobs: int = Field(default=1, ge=1, description="Trials at once.")
    name: str = Field(default="sweep", description="Name of the study.")


@dg.op(retry_policy=RETRIES)
def prepare_texts(context: dg.OpExecutionContext, config: Source, project: ProjectResource) -> dict[str, Any]:
    """Clean and judge texts; a file that can't be read is moved out of the folder of incoming files."""
    from tunewright.pipeline.incoming import prepare

    with failures():
        prepared = prepare(project.open(), config.source, tuple(config.overrides))
    context.add_output_metadata(
        {
            "rows": prepared.rows,
            "quarantined": prepared.quarantined,
            "folder": dg.MetadataValue.path(prepared.folder),
        }
    )
    return {"folder": str(prepared.folder), "source": config.source, "overrides": list(config.overrides)}


@dg.op(retry_policy=RETRIES)
def answer_texts(context: dg.OpExecutionContext, project: ProjectResource, prepared: dict[str, Any]) -> str:
    """Answer prepared texts with the champion, once for the same texts and version."""
    from tunewright.pipeline.incoming import answer

    opened = project.open()
    with failures():
        answers = answer(opened, prepared["source"], tuple(prepared["overrides"]), Path(prepared["folder"]))
    summary = answers.summary
    context.add_output_metadata(
        {
            "rows": summary.rows,
            "labels": dict(summary.labels),
            "model": f"{summary.model}/{summary.version}",
            "folder": dg.MetadataValue.path(answers.folder),
            **_run(opened, summary.run_id),
        }
    )
    return str(answers.folder)


@dg.op(retry_policy=RETRIES, ins={"answers": dg.In(str, default_value=NEWEST)})
def choose_rows(
    context: dg.OpExecutionContext, config: Sampling, project: ProjectResource, answers: str
) -> str:
    """Choose rows worth labelling; none is chosen where all are known already."""
    from tunewright.pipeline.incoming import choose

    with failures():
        chosen = choose(
            project.open(), Path(answers) if answers else None, rows=config.rows, strategy=config.strategy
        )
    if chosen is None:
        context.log.info("every text is known already: nothing to label")
        return ""
    context.add_output_metadata(
        {
            "rows": chosen.selection.manifest.rows,
            "strategy": chosen.selection.manifest.strategy,
            "page": dg.MetadataValue.path(chosen.report),
            "folder": dg.MetadataValue.path(chosen.selection.folder),
        }
    )
    return str(chosen.selection.folder)


@dg.op
def commit_outputs(
    context: dg.OpExecutionContext, project: ProjectResource, prepared: dict[str, Any], outputs: list[str]
) -> None:
    """Commit the pointers to cleaned texts, answers and selections, and push."""
    from tunewright.pipeline.incoming import version_outputs

    with failures():
        commits = version_outputs(
            project.open(), [Path(each) for each in (prepared["folder"], *outputs) if each]
        )
    context.add_output_metadata({"commits": commits})


@dg.op
def search(context: dg.OpExecutionContext, config: Tuning, project: ProjectResource) -> None:
    """Search, and run the pipeline with the best."""
    from tunewright.pipeline.search import SweepSettings

    settings = SweepSettings(name=config.name, trials=config.trials, jobs=config.jobs)
    with failures():
        outcome = project.open().sweep([*project.overrides, *config.space], settings)
    context.add_output_metadata({"facts": dg.MetadataValue.json(outcome.as_json())})


@dg.op
def challenge_champion(context: dg.OpExecutionContext, project: ProjectResource) -> None:
    """Let the best version for the present data challenge the champion."""
    from tunewright.pipeline.choosing import choose_best

    with failures():
        verdict = choose_best(project.open())
    context.add_output_metadata(
        {name: verdict[name] for name in ("model", "version", "decision", "summary", "promoted")}
    )


@dg.op(retry_policy=RETRIES)
def commit_data(context: dg.OpExecutionContext, project: ProjectResource) -> None:
    """Commit and push what is outstanding."""
    from tunewright.pipeline.incoming import version_data

    with failures():
        commits = version_data(project.open())
    context.add_output_metadata({"commits": commits})


def _run(project: Any, run_id: str) -> dict[str, Any]:  # noqa: ANN401
    link = run_link(project, run_id)
    return {"mlflow_run": run_id, **({"mlflow": dg.MetadataValue.url(link)} if link else {})}
