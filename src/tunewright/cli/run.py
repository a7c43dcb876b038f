"""``tunewright run``, ``check`` and ``step``: the pipeline from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli.opening import open_project, paths_from_here
from tunewright.support.console import console, emit_json, output, say

if TYPE_CHECKING:
    from tunewright.pipeline.summary import Outcome

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Parts of the recipe, such as training=lora training.epochs=1."
    ),
]


def run(
    overrides: Overrides = None,
    start: Annotated[str | None, typer.Option("--from", help="Start with this step.", metavar="STEP")] = None,
    until: Annotated[str | None, typer.Option(help="End with this step.", metavar="STEP")] = None,
    only: Annotated[str | None, typer.Option(help="Run this step alone.", metavar="STEP")] = None,
    force: Annotated[bool, typer.Option("--force", help="Run the steps even when nothing changed.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run and why; change nothing.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="End with one JSON line.")] = False,
) -> None:
    """Run the pipeline: read, clean, split, train, compare, register, promote.

    Unchanged steps are skipped, and a killed run goes on from its last checkpoint:

        tunewright run data.source=messages.csv

        tunewright run training=lora training.learning_rate=3e-4

        tunewright run --dry-run training.epochs=1
    """
    from tunewright.pipeline.runner import Choice

    project = open_project()
    choice = Choice(start=start, until=until, only=only, force=force, dry_run=dry_run)
    outcome = project.run(paths_from_here(overrides or [], project.paths), choice=choice)
    if dry_run:
        _show_plan(outcome, as_json=json_)
    elif json_:
        emit_json(outcome.as_json())
    else:
        show_outcome(outcome)


def check(
    overrides: Overrides = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Check data, tokenizer and base, and forecast time and memory, without training.

    Runs the steps up to the check, which measures three real training steps:

        tunewright check data.source=messages.csv training=lora
    """
    from tunewright.support.files import read_json

    project = open_project()
    project.run_until("check", paths_from_here(overrides or [], project.paths))
    facts = read_json(project.paths.reports / "check.json")
    if json_:
        emit_json(facts)
        return
    for line in facts["lines"]:
        output().print(line, markup=False)


def step(name: Annotated[str, typer.Argument(help="A step of the table.")]) -> None:
    """Run one step's function with the recipe in params.json; this is what `dvc repro` calls."""
    from tunewright.pipeline.dvcfile import read_recipe
    from tunewright.pipeline.job import Job
    from tunewright.pipeline.runner import run_step

    project = open_project()
    run_step(name, Job(read_recipe(project.paths.root), project.paths))


def _show_plan(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        emit_json({step.name: {"state": step.state, "reasons": list(step.reasons)} for step in outcome.steps})
        return
    for each in outcome.steps:
        reason = f": {'; '.join(each.reasons)}" if each.reasons else ""
        output().print(f"{each.name:<10} {each.state}{reason}", markup=False)


def show_outcome(outcome: Outcome) -> None:
    """Print which steps ran, the figures on the test rows, and what the gate says."""
    from rich.table import Table

    ran = [step for step in outcome.steps if step.state == "ran"]
    skipped = len(outcome.steps) - len(ran)
    say(f"{len(ran)} steps ran, {skipped} were unchanged and skipped, {outcome.seconds:.1f} s")
    if outcome.metrics is None:
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for heading in outcome.columns.values():
        table.add_column(heading, justify="right")
    rows = {f"{outcome.model} (tuned)": outcome.metrics, **(outcome.baselines or {})}
    for name, metrics in rows.items():
        table.add_row(name, *(f"{metrics[column]:.4f}" for column in outcome.columns))
    output().print(table)
    for line in outcome.sentences:
        output().print(line, markup=False)
    console().print(f"report: {outcome.report}", markup=False)
