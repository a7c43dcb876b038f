"""``tunewright infer``: let a registered model answer a whole file, folder or URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli.opening import open_project
from tunewright.support.console import emit_json, output, say

if TYPE_CHECKING:
    from tunewright.pipeline.inferring import Inferred

MOST_LABELS = 10


def infer(
    source: Annotated[
        str, typer.Argument(help="File, folder, pattern, URL or data set id; needs no labels.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="How it is read, such as data.text_column=body."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="NAME[@alias|/version]; the project's champion by default.", metavar="MODEL"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; one below data/inferred by default.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Answer again; replace the answers that the folder holds.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Answer every text of a source with the champion and write the answers as parquet.

    tunewright infer incoming.csv

    tunewright infer s3://bucket/texts data.text_column=body --model spam/3 --json
    """
    done = open_project().infer(source, overrides or (), model=model, out=out, force=force)
    if json_:
        emit_json({"folder": str(done.folder), "fresh": done.fresh, **done.summary.model_dump(mode="json")})
    else:
        _print(done)


def _print(done: Inferred) -> None:
    """Say what was answered, and where it lies."""
    summary = done.summary
    set_aside = sum(summary.quarantined.values())
    labels = ", ".join(f"{name} {rows:,}" for name, rows in list(summary.labels.items())[:MOST_LABELS])
    more = len(summary.labels) - MOST_LABELS
    output().print(
        f"{summary.rows:,} rows answered by {summary.model}/{summary.version}"
        f"{f', {set_aside:,} set aside' if set_aside else ''}: {labels}{f', and {more} more' if more > 0 else ''}",
        markup=False,
    )
    if summary.measured:
        measured = summary.measured
        output().print(
            f"{measured.rows:,} rows have a label: accuracy {measured.accuracy:.4f}, F1 macro {measured.f1_macro:.4f}",
            markup=False,
        )
    for name, rows in list(summary.unknown_labels.items())[:MOST_LABELS]:
        output().print(f"the model doesn't know the label '{name}' ({rows:,} rows)", markup=False)
    for note in summary.source.notes:
        say(f"note: {note}")
    if not done.fresh:
        say("this content was answered by this version before: nothing was done again")
    say(f"answers: {done.folder}")
