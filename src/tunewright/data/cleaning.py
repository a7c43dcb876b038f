"""The second step: every text of the shards cleaned, and what each step changed counted."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tunewright.data.chat.cleaning import clean_cells
from tunewright.data.chat.stored import CONVERSATION, holds_conversations
from tunewright.data.ingest import REJECTED, SUMMARY, TEXT_KIND
from tunewright.data.parts import writing_parts
from tunewright.data.text_cleaning import STEPS, trace_cleaning
from tunewright.support.errors import InputError
from tunewright.support.files import write_json

if TYPE_CHECKING:
    import pyarrow as pa

    from tunewright.config.data import Cleaning

COUNTS = "cleaning.json"

Columns: TypeAlias = Mapping[str, Sequence[str | None]]
Cleaned: TypeAlias = "Callable[[pa.Table, dict[str, object], dict[str, int]], Columns]"
"""Gives the columns of a row group that cleaning changes."""


def clean(source: Path, config: Cleaning, *, out: Path) -> dict[str, int]:
    """Clean the text of every row; empty and missing texts stay for validation to judge.

    Of a language model's rows each turn, prompt, completion or text is cleaned by itself; what a tool is called with
    stays as it is.

    Args:
        source: The folder that ``ingest`` or ``ingest_chat`` wrote.
        config: Which steps run, and how.
        out: The folder to write: the same parts with cleaned text, ``cleaning.json`` (step to rows changed),
            and ``source.json`` and ``rejected.jsonl`` as they were.

    Returns:
        Rows that each step changed, in the order of the steps.

    Raises:
        InputError: When ``source`` is missing or damaged.
        TunewrightError: When ``out`` can't be written.
    """
    parts = sorted(source.glob("part-*.parquet"))
    if not parts:
        raise InputError("holds no parquet part", place=str(source), mend="run `tunewright run` to make it")
    settings = config.model_dump()
    counts = {name: 0 for name, _ in STEPS}
    columns = _conversations if holds_conversations(source) else _texts
    with writing_parts(out) as folder:
        for part in parts:
            _clean_part(part, folder / part.name, columns, settings, counts)
        for name in (SUMMARY, REJECTED):
            if (source / name).exists():
                shutil.copyfile(source / name, folder / name)
        write_json(folder / COUNTS, counts)
    return counts


def _clean_part(
    part: Path, out: Path, columns: Cleaned, settings: dict[str, object], counts: dict[str, int]
) -> None:
    """Take one part through the steps, a row group at a time: ingest kept those small."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(part)
        kept = [name for name in table.schema_arrow.names if name != TEXT_KIND]
        schema = pa.schema([table.schema_arrow.field(name) for name in kept])
        with pq.ParquetWriter(out, schema) as writer:
            for group in range(table.num_row_groups):
                whole = table.read_row_group(group)
                cleaned = columns(whole, settings, counts)
                writer.write_table(_replaced(whole, schema, cleaned))
    except (pa.ArrowException, KeyError) as error:
        raise InputError(
            f"can't be read ({str(error).splitlines()[0]})",
            place=str(part),
            mend="run `tunewright run --from ingest --force`",
        ) from error


def _texts(group: pa.Table, settings: dict[str, object], counts: dict[str, int]) -> Columns:
    """Clean the texts of one row group."""
    texts = group.column("text").to_pylist()
    kinds = group.column(TEXT_KIND).to_pylist() if TEXT_KIND in group.schema.names else [None] * len(texts)
    return {"text": [_one(text, kind, settings, counts) for text, kind in zip(texts, kinds, strict=True)]}


def _conversations(group: pa.Table, settings: dict[str, object], counts: dict[str, int]) -> Columns:
    """Clean the conversations of one row group, and say anew what they say."""
    texts, cells = clean_cells(group.column(CONVERSATION).to_pylist(), settings, counts)
    return {"text": texts, CONVERSATION: cells}


def _replaced(group: pa.Table, schema: pa.Schema, cleaned: Columns) -> pa.Table:
    """Return one row group with its cleaned columns."""
    import pyarrow as pa

    columns: list[Any] = [
        pa.array(cleaned[name], pa.string()) if name in cleaned else group.column(name)
        for name in schema.names
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _one(
    text: str | None, kind: str | None, settings: dict[str, object], counts: dict[str, int]
) -> str | None:
    """Clean one text; what was no text is cast, or becomes null when casting is off."""
    if text is None:
        return None
    if kind is not None:
        if not settings["cast"]:
            return None
        counts["cast"] += 1
    cleaned, changed = trace_cleaning(text, settings)
    for name in changed:
        counts[name] += 1
    return cleaned
