"""Which row is meant: by its text, its number in a source, or the id that selections and batches give it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.data.matching import MEND, rows_numbered
from tunewright.data.parts import row_groups
from tunewright.data.quarantine import QuarantinedRow, read_quarantine
from tunewright.registry.lineage import DIGEST_CHARACTERS, row_digest
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from tunewright.pipeline.tracing.collected import Collected
    from tunewright.pipeline.tracing.stored import Stored, StoredVersion

ROW_ID = re.compile(f"row-[0-9a-f]{{{DIGEST_CHARACTERS}}}")
WITHHELD = "secret"
"""Reason for which a quarantine file withholds a text."""
TEXT_CHARACTERS = 60
"""How much of a text a message quotes."""


@dataclass(frozen=True, slots=True)
class AskedRow:
    """The row that a trace is about."""

    words: str
    """How it was asked for."""
    text: str | None
    """None where the row was set aside without one."""
    set_aside: tuple[StoredVersion, QuarantinedRow] | None = None
    """The entry of the quarantine file that was asked for by its number."""

    @property
    def withheld(self) -> bool:
        """Tell whether the quarantine file withholds the text, because it holds a credential."""
        return self.set_aside is not None and self.set_aside[1].reason == WITHHELD


def by_text(text: str) -> AskedRow:
    """Ask for a text as it stands."""
    return AskedRow(f"text {quoted(text)}", text)


def by_number(number: int, version: StoredVersion, within: str) -> AskedRow:
    """Ask for the row of a number.

    Args:
        number: Row number in the source, from 1.
        version: The version whose source is meant.
        within: The words that named it; empty for the present data.

    Raises:
        InputError: When the source has no such row.
    """
    words = f"row {number} of {within or 'the present data'}"
    for _, shard in version.shards():
        if found := rows_numbered(shard, [number], ("row", "text")):
            return AskedRow(words, str(found[0]["text"]))
    for entry in read_quarantine(version.quarantine) if version.quarantine else ():
        if entry.row == number:
            return AskedRow(words, _whole_text(version, entry), (version, entry))
    raise InputError(
        f"there is none: its source has rows 1 to {version.manifest().rows:,}",
        place=words,
        mend="`tunewright data show` says more"
        if version.is_complete
        else "what it set aside is not on this disk: add --fetch",
    )


def by_id(name: str, stored: Stored, collected: Collected) -> AskedRow:
    """Ask for the row of an id ``row-…``; the files where ids stand are looked through first.

    Raises:
        InputError: When no row has it.
    """
    digest = name.removeprefix("row-")
    for text in _texts(stored, collected):
        if row_digest(text) == digest:
            return AskedRow(name, text)
    raise InputError(
        "is no row of a selection, a labelled batch, a data version or an answer on this disk",
        place=name,
        mend="check the id, or add --fetch to look at data that lies on the remote alone",
    )


def quoted(text: str) -> str:
    """Quote the start of a text on one line."""
    line = " ".join(text.split())
    return f'"{line if len(line) <= TEXT_CHARACTERS else line[: TEXT_CHARACTERS - 1] + "…"}"'


def _whole_text(version: StoredVersion, entry: QuarantinedRow) -> str | None:
    """Return the text of a row that was set aside: the quarantine file may cut it short or leave it out."""
    whole = [
        row["text"] for part in version.cleaned for row in rows_numbered(part, [entry.row], ("row", "text"))
    ]
    text = whole[0] if whole else entry.text
    return text if text and text.strip() else None


def _texts(stored: Stored, collected: Collected) -> Iterator[str]:
    """Give every text on this disk, those that have ids on file first."""
    for selection in collected.selections():
        yield from (row.text for row in selection.rows)
    for _, rows in collected.batches():
        yield from (row.text for row in rows)
    seen: set[Path] = set()
    for version in reversed(stored.versions):
        for _, shard in version.shards():
            if shard not in seen:
                seen.add(shard)
                yield from _column(shard)
    for folder, _ in collected.answer_folders():
        for part in sorted(folder.glob("part-*.parquet")):
            yield from _column(part)


def _column(shard: Path) -> Iterator[str]:
    """Give the texts of a parquet file, a row group at a time."""
    for table in row_groups(shard, ("text",), mend=MEND):
        yield from table.column("text").to_pylist()
