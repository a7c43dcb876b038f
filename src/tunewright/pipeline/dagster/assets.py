"""One asset a step of the table, with its code version, its metadata and, where it judges, a blocking check.

Dagster reads annotations as they are, and refuses the strings that `from __future__ import annotations` makes of them.
"""

from typing import Any

import dagster as dg

from tunewright.config.schema import Recipe
from tunewright.data.rules import COPY
from tunewright.pipeline.dagster.metadata import metadata_of
from tunewright.pipeline.dagster.resource import ProjectResource, failures, open_project
from tunewright.pipeline.steps import SOURCE, Step, table
from tunewright.support.files import read_json

DATA, MODELS = "data", "models"
"""Groups of assets, and the first part of their keys: a job may then have the name of a step."""
SOURCE_ASSET = dg.AssetSpec(
    [DATA, "source"],
    description="The rows that the project learns from; tunewright reads them and never writes to them.",
    group_name=DATA,
)
RETRIES = dg.RetryPolicy(max_retries=2, delay=10, backoff=dg.Backoff.EXPONENTIAL)
"""For what may mend itself: a tracking server or a bucket that is away. Wrong input is not tried again."""


def step_assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """Make the assets of a project: the steps, and the notebooks that its recipe makes steps."""
    steps = table(recipe)
    givers = {path: step for step in steps for path in step.gives}
    return [_asset(step, _upstream(step, givers)) for step in steps]


def key_of(step: Step) -> dg.AssetKey:
    """Return the key of a step's asset."""
    return dg.AssetKey([group_of(step), step.name])


def group_of(step: Step) -> str:
    """Tell whether a step gives data or what is made from it."""
    return DATA if step.cached else MODELS


def _upstream(step: Step, givers: dict[str, Step]) -> list[dg.AssetKey]:
    """Name the assets whose outputs a step takes."""
    keys = [SOURCE_ASSET.key if path == SOURCE else key_of(givers[path]) for path in step.takes]
    return list(dict.fromkeys(keys))


def _asset(step: Step, upstream: list[dg.AssetKey]) -> dg.AssetsDefinition:
    @dg.asset(
        key=key_of(step),
        deps=upstream,
        description=step.summary,
        group_name=group_of(step),
        code_version=str(step.version),
        kinds={"dvc" if step.cached else "mlflow"},
        retry_policy=RETRIES,
    )
    def compute(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult[Any]:
        with failures():
            result = project.run_step(step.name)
            context.log.info("%s %s in %.1f s", step.name, result.state, result.seconds)
            metadata = metadata_of(step, project.open(), result)
        return dg.MaterializeResult(metadata=metadata)

    return compute


@dg.asset_check(
    asset=dg.AssetKey([DATA, "validate"]),
    blocking=True,
    description="Enough of the rows are good, and a label has enough of them.",
)
def rows_are_good() -> dg.AssetCheckResult:
    """Hold what validation counted against the recipe's limits."""
    with failures():
        project = open_project()
        rules = project.last_recipe().data.validation
        facts = read_json(project.paths.interim / "valid" / "validation.json")
    copies = facts["quarantined"].get(COPY, 0)
    bad = sum(facts["quarantined"].values()) - copies
    share = bad / max(1, facts["kept"] + bad)
    return dg.AssetCheckResult(
        passed=facts["kept"] > 0 and share <= rules.max_quarantined_share,
        metadata={
            "kept": facts["kept"],
            "bad": bad,
            "copies": copies,
            "share": share,
            "limit": rules.max_quarantined_share,
        },
    )


@dg.asset_check(
    asset=dg.AssetKey([DATA, "split"]),
    blocking=True,
    description="No text, and by default no near-duplicate, stands on both sides.",
)
def nothing_on_both_sides() -> dg.AssetCheckResult:
    """Hold the leaks that the split counted against none."""
    with failures():
        project = open_project()
        manifest = project.dataset().manifest
    looked_at = ["normalised_text", *(["near_duplicate"] if manifest.split_by == "near_duplicate" else [])]
    return dg.AssetCheckResult(
        passed=not any(manifest.leaks.get(kind, 0) for kind in looked_at), metadata=dict(manifest.leaks)
    )


@dg.asset_check(
    asset=dg.AssetKey([MODELS, "promote"]),
    blocking=True,
    description="The gate lets the new version take the champion's place.",
)
def gate() -> dg.AssetCheckResult:
    """Repeat the gate's verdict: a refusal is an error, "cannot tell yet" a warning."""
    with failures():
        verdict = read_json(open_project().paths.reports / "verdict.json")
    unsure = verdict["decision"] == "cannot_tell"
    return dg.AssetCheckResult(
        passed=bool(verdict["promoted"]),
        severity=dg.AssetCheckSeverity.WARN if unsure else dg.AssetCheckSeverity.ERROR,
        description=verdict["summary"],
        metadata={"decision": verdict["decision"], "rows_needed": verdict.get("rows_needed") or 0},
    )


CHECKS = (rows_are_good, nothing_on_both_sides, gate)
