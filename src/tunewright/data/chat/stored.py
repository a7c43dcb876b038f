"""How an internal row stands in the shards of a data set: one cell of JSON beside the columns that every row has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from tunewright.data.chat.rows import ChatRow
from tunewright.data.parts import read_parts
from tunewright.support.errors import InputError
from tunewright.support.files import read_json

CONVERSATION = "conversation"
"""Column that holds the internal row; the row number and the file have columns of their own."""
SUMMARY = "source.json"
ELSEWHERE = {"row", "source"}


def cell_of(row: ChatRow) -> str:
    """Return a row as compact JSON: the same row always gives the same text."""
    return row.model_dump_json(exclude=ELSEWHERE, exclude_defaults=True)


def row_of(cell: str, *, row: int = 0, source: str = "") -> ChatRow:
    """Return the row that a cell holds.

    Args:
        cell: What ``cell_of`` gave.
        row: Its number in the data set.
        source: The file it is from.

    Raises:
        InputError: When it holds no row of this version.
    """
    try:
        found = ChatRow.model_validate_json(cell)
    except ValidationError as error:
        raise InputError(
            f"holds no row of a conversation ({str(error).splitlines()[0]})",
            place=f"the column '{CONVERSATION}' of row {row:,}",
            mend="run `tunewright run --from ingest --force`",
        ) from error
    return found.model_copy(update={"row": row, "source": source})


def rows_in(folder: Path) -> Iterator[ChatRow]:
    """Give the rows of a folder's parts, in order.

    Raises:
        InputError: When the folder holds no part, or one is damaged or holds no such rows.
    """
    for table in read_parts(folder, ("row", "source", CONVERSATION)):
        for row, source, cell in zip(*(column.to_pylist() for column in table.columns), strict=True):
            yield row_of(cell, row=row, source=source or "")


def holds_conversations(folder: Path) -> bool:
    """Tell from the facts beside its parts whether a folder holds rows of language models.

    A column of that name alone doesn't say so: it may be a source's own.
    """
    path = folder / SUMMARY
    return path.is_file() and says_conversations(path)


def says_conversations(summary: Path) -> bool:
    """Tell whether the facts about a source, as ingest wrote them, are about rows of language models."""
    return read_json(summary).get("facts", {}).get("chat_format") is not None
