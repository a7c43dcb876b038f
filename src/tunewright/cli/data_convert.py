"""``tunewright data convert``: conversations from one format into another."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.support.console import emit_json, output, say

if TYPE_CHECKING:
    from tunewright.data.chat.converting import Conversion

NOTHING_CONVERTED = 1


def mount(app: typer.Typer) -> None:
    """Add the command to ``tunewright data``."""
    app.command()(convert)


def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="File, folder or pattern to read.")],
    out: Annotated[Path, typer.Argument(help="File to write: .jsonl, .json or .parquet.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="How to read IN, such as data.delimiter=';'."),
    ] = None,
    *,
    to: Annotated[
        str,
        typer.Option(help="messages, alpaca, sharegpt, prompt-completion, text, preference or kto."),
    ],
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help="Format of IN: one of those, question-answer or self-instruct; detected by default.",
        ),
    ] = None,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="System prompt for conversations that have none.")
    ] = None,
    refused: Annotated[
        Path | None,
        typer.Option(
            help="File for rows that can't be converted; OUT's name with .refused.jsonl by default."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse rows with fields that the format doesn't know.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write conversations, completions or preferences in another format.

    tunewright data convert alpaca.json messages.jsonl --to messages

    A row that would lose something on the way is refused, and stands in a file with its reason.
    """
    from tunewright.config.compose import compose
    from tunewright.data.chat.converting import convert as run

    done = run(
        compose([f"data.source={source}", *(overrides or [])]).data,
        out,
        to=to,
        base_dir=Path.cwd(),
        format_name=from_,
        system=system,
        refused=refused,
        strict=strict,
        force=force,
    )
    if json_:
        paths = {
            name: str(path) if path else None
            for name, path in (("file", done.file), ("refused_file", done.refused_file))
        }
        emit_json({**asdict(done), **paths})
    else:
        _print(done)
    if done.file is None:
        raise typer.Exit(NOTHING_CONVERTED)


def _print(done: Conversion) -> None:
    """Say what was converted, and what was not and why."""
    output().print(
        f"{done.read:,} rows read as {done.source_format}, {done.converted:,} converted to {done.target}, "
        f"{sum(done.refused.values()):,} refused",
        markup=False,
    )
    if done.written != done.converted:
        output().print(f"{done.written:,} rows written", markup=False)
    for reason, count in done.refused.items():
        output().print(f"refused: {count:,} {reason}", markup=False)
    for name, count in done.unused.items():
        output().print(f"not carried over: {name} of {count:,} rows", markup=False)
    for note in done.notes:
        say(f"note: {note}")
    say(f"format: {done.source_format} ({done.why})")
    if done.refused_file:
        say(f"refused rows, with reasons: {done.refused_file}")
    say(f"written: {done.file}" if done.file else "nothing could be converted, and no file was written")
