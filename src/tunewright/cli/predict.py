"""``tunewright predict``: ask a registered model."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tunewright.cli.opening import open_project
from tunewright.support.console import emit_json, output
from tunewright.support.errors import InputError


def predict(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; `-` reads one a line from standard input.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="NAME[@alias|/version]; the project's champion by default.", metavar="MODEL"),
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print one JSON line a text, with every probability.")
    ] = False,
) -> None:
    """Classify texts with the champion, or with any registered version.

    tunewright predict "You have WON a prize, call now"

    cat messages.txt | tunewright predict - --json
    """
    words = list(texts or [])
    if words == ["-"]:
        words = [line.rstrip("\n") for line in sys.stdin]
    if not words:
        raise InputError("no text was given", place="predict", mend='write `tunewright predict "some text"`')
    for text, answer in zip(words, open_project().predict(words, model=model), strict=True):
        if json_:
            emit_json({"text": text, "label": answer.label, "probabilities": dict(answer.probabilities)})
        else:
            output().print(f"{answer.label}  {answer.probability:.3f}  {text}", markup=False)
