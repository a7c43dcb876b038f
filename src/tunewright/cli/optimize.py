"""``tunewright optimize``: convert a version for every engine here, prove the copies, and register the best one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tunewright.cli.opening import open_project
from tunewright.support.console import emit_json, output, say

if TYPE_CHECKING:
    from tunewright.engines.report import EngineReport
    from tunewright.engines.tried import Tried

MIB = 1 << 20


def optimize(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="NAME[@alias|/version]; the champion when left out.")
    ] = "",
    *,
    max_accuracy_loss: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="What a copy may lose on the frozen test rows: accuracy, or the recipe's figure.",
        ),
    ] = 0.002,
    goal: Annotated[
        Literal["throughput", "latency", "size"], typer.Option("--for", help="What the best is best at.")
    ] = "throughput",
    engine: Annotated[
        list[str] | None,
        typer.Option(metavar="ENGINE:PRECISION", help="Try only these; may be given several times."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads for each; the free cores by default.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find the fastest engine that still answers as the model does, and register its copy with the version.

    tunewright optimize spam@champion --for latency
    """
    from tunewright.engines.interface import Form
    from tunewright.pipeline.optimizing import STEP, Wish, optimize_version

    project = open_project()
    forms = tuple(Form.parse(word) for word in engine or ())
    report = optimize_version(project, model, Wish(goal, max_accuracy_loss, forms, threads), _tell)
    if json_:
        emit_json(report.model_dump(mode="json"))
        return
    _show(report)
    output().print(f"report: {project.paths.reports / STEP / 'report.html'}", markup=False)


def _tell(one: Tried) -> None:
    """Say how one form did, as soon as it is known."""
    if one.measured and one.passes:
        say(f"    {one.form}: {one.speed:,.0f}/s")
    else:
        say(f"    {one.form}: refused ({one.refusals[0] if one.refusals else 'no figures'})")


def _show(report: EngineReport) -> None:
    """Print the table: what may be used first, the fastest on top."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    latency = "p95 ms" if report.unit == "texts" else "ms a token"
    for heading in ("", "engine", f"{report.unit}/s", latency, "MiB", "RAM MiB", "quality", "kept"):
        table.add_column(heading, no_wrap=True)
    frontier = report.frontier()
    usable = [one for one in report.tried if one.passes and one.measured]
    for one in sorted(usable, key=lambda one: -one.speed):
        mark = "*" if one.form == report.chosen else "·" if one.form in frontier else ""
        table.add_row(mark, str(one.form), *_figures(one))
    output().print(table)
    for one in report.tried:
        if not one.passes:
            output().print(f"{one.form}: refused: {'; '.join(one.refusals)}", markup=False, highlight=False)
    output().print(
        f"quality: {report.metric} on {report.rows} test rows of {report.prompt_tokens:.0f} tokens;"
        f" {report.threads} thread{'s' if report.threads > 1 else ''} of {report.machine.processor};"
        " · no other beats it in speed, latency and size at once",
        markup=False,
        highlight=False,
    )
    output().print(report.headline, markup=False, highlight=False)


def _figures(one: Tried) -> list[str]:
    """Write the figures of one form."""
    if not (one.measured and one.judgement):
        return []
    return [
        f"{one.speed:,.0f}",
        f"{one.latency_ms:.1f}",
        f"{one.size_bytes / MIB:,.0f}",
        f"{one.measured.memory_mib:,.0f}",
        "" if one.quality is None else f"{one.quality:.4f}",
        "" if one.kept is None else f"{one.kept:.1%}",
    ]
