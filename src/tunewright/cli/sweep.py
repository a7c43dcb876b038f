"""``tunewright sweep`` and ``trial``: the search for the best recipe from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli.opening import open_project, paths_from_here
from tunewright.cli.run import show_outcome
from tunewright.support.console import console, emit_json, output

if TYPE_CHECKING:
    from tunewright.pipeline.sweep_conclusion import SweepOutcome

MOST_SHOWN = 10


def sweep(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUES]...",
            help="What to search, in Hydra's sweep syntax; plain values hold for all trials.",
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, help="Trials in all, those of an earlier call included.")
    ] = 20,
    jobs: Annotated[int, typer.Option(min=1, help="Trials at the same time, each a process.")] = 1,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the search; that of the training is `seed=`.")
    ] = 42,
    metric: Annotated[
        str | None,
        typer.Option(help="f1_macro, accuracy or balanced_accuracy; default: evaluation.primary_metric."),
    ] = None,
    name: Annotated[
        str, typer.Option(help="Of the sweep, and of the option with its best recipe.")
    ] = "sweep",
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="End trials early that fall behind the median.")
    ] = True,
    json_: Annotated[bool, typer.Option("--json", help="End with one JSON line.")] = False,
) -> None:
    """Search for the best recipe, then evaluate, register and gate the best.

    Trials are scored on validation rows. The same command goes on with a sweep that was killed:

        tunewright sweep training=lora training.learning_rate='interval(1e-4,1e-3)' training.batch_size=16,32

        tunewright sweep training=full,lora training.epochs='range(2,6)' --trials 30 --jobs 4
    """
    from tunewright.pipeline.search import SweepSettings

    project = open_project()
    settings = SweepSettings(trials=trials, jobs=jobs, seed=seed, metric=metric, name=name, prunes=prune)
    outcome = project.sweep(paths_from_here(overrides or [], project.paths), settings)
    if json_:
        emit_json(outcome.as_json())
    else:
        _show(outcome)


def trial(folder: Annotated[Path, typer.Argument(help="A trial's folder.")]) -> None:
    """Do one trial of a sweep; `tunewright sweep` starts it and listens."""
    from tunewright.pipeline.trial import run_trial

    run_trial(folder, open_project().paths)


def _show(outcome: SweepOutcome) -> None:
    from rich.table import Table

    from tunewright.evaluation.page import figure

    report = outcome.report
    table = Table(box=None, pad_edge=False)
    keys = [key.removeprefix("training.") for key in report.space]
    for heading in ("trial", "state", *keys, f"validation {report.metric}"):
        table.add_column(heading)
    ranked = sorted(report.trials, key=lambda each: -(each.value if each.value is not None else -1))
    for each in ranked[:MOST_SHOWN]:
        values = [figure(each.values.get(key)) for key in report.space]
        value = "–" if each.value is None else f"{each.value:.4f}"
        table.add_row(str(each.number), each.state, *values, value)
    output().print(table)
    if len(ranked) > MOST_SHOWN:
        output().print(f"and {len(ranked) - MOST_SHOWN} more", markup=False)
    output().print(report.headline, markup=False)
    show_outcome(outcome.run)
    console().print(f"sweep: {outcome.page}", markup=False)
    console().print(f"again: tunewright run {' '.join(outcome.again)}", markup=False)
