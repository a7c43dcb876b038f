"""``tunewright data preview``: rows as a chat model would read them, token by token, and what carries loss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tunewright.support.console import emit_json, output, say
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.models.chat.masking import MaskedRow
    from tunewright.models.chat.tokenizer import ChatTokenizer

COLOURS = {True: "bold green", False: "dim"}
SHOWN_ROWS = 3


def mount(app: typer.Typer) -> None:
    """Add the command to ``tunewright data``."""
    app.command()(preview)


def preview(
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="Rows in any format that `data convert` reads.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="How to read it, such as data.delimiter=';'."),
    ] = None,
    *,
    model: Annotated[
        str,
        typer.Option(metavar="NAME_OR_FOLDER", help="A folder, a hub id, or a name such as smollm2-135m."),
    ],
    from_: Annotated[
        str | None, typer.Option("--from", metavar="FORMAT", help="Its format; detected by default.")
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows to show; all are counted.")] = SHOWN_ROWS,
    max_length: Annotated[int | None, typer.Option(min=1, help="Tokens a row, at most.")] = None,
    loss: Annotated[
        Literal["assistant", "completion", "all"] | None,
        typer.Option(help="What carries loss; by default what suits the columns."),
    ] = None,
    template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A chat template to use instead of the model's.")
    ] = None,
    max_lost: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the tokens with loss that --max-length may take.")
    ] = 0.05,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as a page, too.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a page that exists.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show rows as a chat model would read them, token by token, and which tokens carry loss.

    tunewright data preview chats.jsonl --model smollm2-135m --html loss.html

    Rows from which nothing sound would be learned are refused, with exit code 2.
    """
    if html is not None and html.exists() and not force:
        raise InputError("exists already", place=str(html), mend="give another file, or add --force")
    from tunewright.config.compose import compose
    from tunewright.data.chat.opening import open_chat
    from tunewright.models.chat.locating import locate_tokenizer
    from tunewright.models.chat.preflight import inspect_rows
    from tunewright.models.chat.reading import ReadRows
    from tunewright.models.chat.tokenizer import open_chat_tokenizer
    from tunewright.models.chat.view import facts, render_page, summary

    config = compose([f"data.source={source}", *(overrides or [])]).data
    read = ReadRows(open_chat(config, base_dir=Path.cwd(), format_name=from_))
    folder = locate_tokenizer(model, base_dir=Path.cwd())
    chat = open_chat_tokenizer(folder, name=model, template=template)
    found = inspect_rows(read, chat, loss=loss, max_length=max_length, max_lost_share=max_lost, show=rows)
    if json_:
        emit_json({**facts(found, chat), "set_aside": dict(read.set_aside)})
    else:
        for masked in found.shown:
            _print_row(masked, chat)
        for name, value in summary(found, chat).items():
            output().print(f"{name:<12} {value}", markup=False)
        for reason, count in read.set_aside.most_common():
            output().print(f"{'set aside':<12} {count:,} {reason}", markup=False)
        for name, lines in (("changed", chat.setup.changes), ("note", found.notes)):
            for line in lines:
                output().print(f"{name:<12} {line}", markup=False)
    if html is not None:
        from tunewright.support.files import write_text

        write_text(html, render_page(found, chat, source=source, model=model))
        say(f"written: {html}")
    for refusal in found.refusals[1:]:
        say(f"refused, too: {refusal.line(source)}")
    found.require_sound(source)


def _print_row(masked: MaskedRow, chat: ChatTokenizer) -> None:
    """Print a row: in two colours on a terminal, with brackets around what carries loss elsewhere."""
    from rich.text import Text

    from tunewright.models.chat.view import bracketed, runs, title

    output().print(title(masked), markup=False, style="bold")
    if output().color_system is None:
        output().print(bracketed(masked, chat), markup=False)
    else:
        text = Text()
        for carries, run in runs(masked, chat):
            text.append(run, style=COLOURS[carries])
        output().print(text)
    output().print()
