"""``tunewright evaluate``: measure a language model on rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunewright.cli.opening import project_if_any
from tunewright.support.console import emit_json, output
from tunewright.support.errors import InputError


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="NAME[@alias|/version], models:/…, a folder, or s3://….")
    ],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Rows in any format that `data convert` reads.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Such as evaluation.generation.max_new_tokens=64."),
    ] = None,
    *,
    against: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A second model to compare it with.")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for report.html and the answers.")
    ] = Path("evaluation"),
    force: Annotated[bool, typer.Option("--force", help="Replace a report that exists.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Let a language model answer rows, measure the answers, and write a report.

    tunewright evaluate MODEL chats.jsonl --against OTHER_MODEL
    """
    if out.exists() and not (force and (out / "report.json").is_file()):
        raise InputError("exists already", place=str(out), mend="give another --out, or add --force")
    from tunewright.pipeline.language_asking import evaluate as measure

    recipe, paths = project_if_any(overrides or ())
    report = measure(model, data, recipe, against=against, paths=paths, out=out)
    if json_:
        emit_json(report.model_dump(mode="json"))
        return
    for each in report.models:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in each.metrics.summary.items())
        output().print(f"{each.name}: {figures}", markup=False, highlight=False, soft_wrap=True)
    output().print(report.headline, markup=False, soft_wrap=True)
    output().print(f"report: {out / 'report.html'}", markup=False)
