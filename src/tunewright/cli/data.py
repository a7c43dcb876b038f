"""``tunewright data``: what is in the data set, and how a source would be read."""

from __future__ import annotations

from typing import Annotated

import typer

from tunewright.cli import data_convert, data_preview, data_versions
from tunewright.cli.data_versions import VERSION, Json
from tunewright.cli.opening import open_project
from tunewright.support.console import console, emit_json, output

app = typer.Typer(no_args_is_help=True, help="Look at the data set, at its versions and at sources.")
data_versions.mount(app)
data_convert.mount(app)
data_preview.mount(app)


@app.command()
def show(
    version: Annotated[str | None, typer.Argument(metavar="[VERSION]", help=VERSION)] = None,
    json_: Json = False,
) -> None:
    """Show the data set of the last run, or another version of it: rows, labels, quarantine, splits, leaks, digest."""
    project = open_project()
    manifest = project.data.manifest(version) if version else project.dataset().manifest
    if json_:
        emit_json(manifest.model_dump(mode="json"))
        return
    chat = manifest.source.chat_format
    lines = {
        "source": manifest.source.uri,
        "rows": f"{manifest.rows:,} read, {manifest.unique:,} distinct {'texts' if chat is None else 'rows'}",
        **(
            {"labels": _counts(manifest.labels)}
            if chat is None
            else {"format": chat, "kinds": _counts(manifest.labels)}
        ),
        "quarantined": _counts(manifest.quarantined),
        "cleaned": _counts(manifest.cleaning),
        "flagged": _counts(manifest.flags),
        "splits": f"{_counts(manifest.splits)} (by {manifest.split_by}, seed {manifest.seed})",
        "on both sides": _counts(manifest.leaks),
        "digest": manifest.digest,
    }
    for name, value in lines.items():
        output().print(f"{name:<14} {value}", markup=False)
    for note in manifest.source.notes:
        output().print(f"{'note':<14} {note}", markup=False)
    if not version:
        console().print(f"data card: {project.paths.reports / 'data.html'}", markup=False)


@app.command()
def inspect(
    source: Annotated[str, typer.Argument(help="File, folder, URL or data set id.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides.")
    ] = None,
    json_: Json = False,
) -> None:
    """Show how a source would be read, without reading all of it: `tunewright data inspect messages.csv`.

    Rows of a language model are asked for by what they are for: `tunewright data inspect chats.jsonl training=sft`.
    """
    from pathlib import Path

    from tunewright.config.compose import compose
    from tunewright.data.chat.ingesting import inspect_chat
    from tunewright.data.sources import inspect as inspect_labelled

    recipe = compose([f"data.source={source}", *(overrides or [])])
    look = inspect_chat if recipe.trains_language_model else inspect_labelled
    facts = look(recipe.data, base_dir=Path.cwd())
    if json_:
        emit_json(facts.model_dump(mode="json"))
        return
    columns = set() if facts.chat_format is None else {"text_column", "label_column"}
    for name, value in facts.model_dump(exclude={"notes", "files", *columns}).items():
        output().print(f"{name:<14} {value!r}", markup=False)
    for note in facts.notes:
        output().print(f"{'note':<14} {note}", markup=False)


def _counts(counts: dict[str, int], most: int = 12) -> str:
    shown = sorted(((name, count) for name, count in counts.items() if count), key=lambda item: -item[1])
    words = ", ".join(f"{name} {count:,}" for name, count in shown[:most])
    return (words + (f", and {len(shown) - most} more" if len(shown) > most else "")) or "none"
