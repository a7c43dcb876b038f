"""``tunewright ask``: ask a language model."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tunewright.cli.opening import project_if_any
from tunewright.support.console import emit_json, output
from tunewright.support.errors import InputError


def ask(
    words: Annotated[
        list[str] | None, typer.Argument(help="Questions; `-` reads one a line from standard input.")
    ] = None,
    *,
    model: Annotated[
        str,
        typer.Option(
            metavar="MODEL", help="NAME[@alias|/version], a folder or an address; the champion by default."
        ),
    ] = "",
    system: Annotated[str | None, typer.Option(help="A system prompt.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens an answer, at most.")] = 256,
    plain: Annotated[
        bool, typer.Option("--plain", help="Go on from the words as they are, outside the chat template.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON line a question.")] = False,
) -> None:
    """Ask a language model: the champion, any registered version, or one in a folder.

    tunewright ask "My order 4471-A never came" --max-new-tokens 64
    """
    asked = list(words or [])
    if asked == ["-"]:
        asked = [line.rstrip("\n") for line in sys.stdin]
    if not asked:
        raise InputError("nothing was asked", place="ask", mend='write `tunewright ask "some words"`')
    from tunewright.pipeline.language_asking import Question
    from tunewright.pipeline.language_asking import ask as put

    recipe, paths = project_if_any()
    question = Question(system=system, max_new_tokens=max_new_tokens, plain=plain)
    for text, answer in zip(asked, put(asked, model, question, recipe, paths=paths), strict=True):
        if json_:
            emit_json(
                {"asked": text, "answer": answer.text, "tokens": answer.tokens, "finished": answer.finished}
            )
        else:
            output().print(answer.text, markup=False, highlight=False, soft_wrap=True)
