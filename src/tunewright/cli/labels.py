"""``tunewright labels``: hand rows out to annotators, and take their labels back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli.opening import open_project
from tunewright.support.console import emit_json, output, say

if TYPE_CHECKING:
    from tunewright.pipeline.labelling import Imported

app = typer.Typer(no_args_is_help=True, help="Hand rows out to be labelled, and take the labels back.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
MOST_LABELS = 10


@app.command()
def export(
    selection: Annotated[Path, typer.Argument(help="Folder that `tunewright sample` wrote.")],
    file: Annotated[Path, typer.Argument(help="File to write.")],
    to: Annotated[
        str | None, typer.Option(help="csv, jsonl or label-studio; by default what the file's suffix says.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    json_: Json = False,
) -> None:
    """Write a selection as a file for annotators.

    tunewright labels export data/to_label/today to_label.csv

    tunewright labels export data/to_label/today tasks.json --to label-studio
    """
    done = open_project().export_labels(selection, file, to=to, force=force)  # type: ignore[arg-type]
    if json_:
        config = None if done.config is None else str(done.config)
        emit_json({"file": str(done.file), "rows": done.rows, "config": config})
        return
    say(f"{done.rows:,} rows to label: {done.file}")
    if done.config:
        say(f"labelling configuration for Label Studio: {done.config}")


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="Files with labels, one an annotator or more.")],
    selection: Annotated[Path, typer.Option(help="Folder of the selection that was handed out.")],
    name: Annotated[str | None, typer.Option(help="Name of the batch; the selection's by default.")] = None,
    conflicts: Annotated[
        str, typer.Option(help="Rows on which annotators disagree: quarantine or majority.")
    ] = "quarantine",
    new_labels: Annotated[
        bool, typer.Option("--new-labels", help="Accept labels that are not known yet.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a batch of that name.")] = False,
    json_: Json = False,
) -> None:
    """Check labels against the rows that were handed out, and write those that stand as a batch.

    tunewright labels import ada.csv ben.csv --selection data/to_label/today --conflicts majority
    """
    done = open_project().import_labels(
        files,
        selection,
        name=name,
        conflicts=conflicts,  # type: ignore[arg-type]  # refused there
        new_labels=new_labels,
        force=force,
    )
    if json_:
        aside = None if done.set_aside is None else str(done.set_aside)
        emit_json({"file": str(done.file), "set_aside_file": aside, **done.summary.model_dump(mode="json")})
    else:
        _print(done)


def _print(done: Imported) -> None:
    """Say what came of the labels."""
    summary, agreed = done.summary, done.summary.agreement
    output().print(f"{summary.rows:,} rows labelled: {_counts(summary.labels)}", markup=False)
    if summary.new_labels:
        output().print(f"new labels: {_counts(summary.new_labels)}", markup=False)
    if agreed.rows:
        named = {
            "percent agreement": agreed.percent,
            "Cohen's kappa": agreed.kappa,
            "Krippendorff's alpha": agreed.alpha,
        }
        figures = ", ".join(f"{name} {value:.3f}" for name, value in named.items() if value is not None)
        people = len(agreed.annotators)
        output().print(f"{people} annotators, {agreed.rows:,} rows by several: {figures}", markup=False)
    if summary.control.rows:
        output().print(
            f"the model is right on {summary.control.right:,} of {summary.control.rows:,} control rows",
            markup=False,
        )
    if done.set_aside:
        output().print(f"set aside: {_counts(summary.set_aside)}", markup=False)
        say(f"reasons: {done.set_aside}")
    say(f"batch: {done.file}")


def _counts(counts: dict[str, int]) -> str:
    shown = ", ".join(f"{name} {rows:,}" for name, rows in list(counts.items())[:MOST_LABELS])
    more = len(counts) - MOST_LABELS
    return shown + (f", and {more} more" if more > 0 else "")
