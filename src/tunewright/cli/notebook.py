"""``tunewright notebook``: run a notebook and keep its executed copy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunewright.cli.opening import open_project
from tunewright.support.console import emit_json, output, say

app = typer.Typer(no_args_is_help=True, help="Run notebooks: parameters in, executed copy out.")


@app.callback()
def _notebook() -> None:
    """Keep ``run`` a word of its own though it is the only command."""


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="The notebook.", metavar="FILE")],
    parameters: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE]...", help="Values, in YAML, for names that its parameters cell sets."
        ),
    ] = None,
    timeout: Annotated[
        int | None, typer.Option(min=1, help="Seconds that one cell may take; no limit by default.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="End with one JSON line.")] = False,
) -> None:
    """Run a notebook in its folder; keep the executed copy in reports/notebooks and with the MLflow run.

    tunewright notebook run notebooks/explore_data.ipynb split=test
    """
    from tunewright.pipeline.notebook_parameters import read_words

    given = read_words(parameters or [])
    ran = open_project().run_notebook(file, given, timeout_s=timeout)
    if json_:
        emit_json(ran.as_json())
        return
    say(f"{ran.cells} cells, {ran.seconds:.1f} s")
    for name, value in (("copy", ran.copy), ("page", ran.page), ("run", ran.run_id)):
        output().print(f"{name:<5} {value}", markup=False)
