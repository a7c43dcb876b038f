"""What differs between two sets of labelled rows: added, removed, relabelled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunewright.data.chat.stored import CONVERSATION

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["added", "removed", "relabelled"]
KEYS = ["text", "label"]


@dataclass(frozen=True, slots=True)
class Change:
    """One row that differs."""

    kind: Kind
    text: str
    before: str | None
    """Its label before; ``None`` for an added row."""
    after: str | None
    """Its label after; ``None`` for a removed row."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The rows that differ, and how many don't."""

    before: int
    """Rows before."""
    after: int
    """Rows after."""
    changes: tuple[Change, ...]
    """In the order of their texts."""
    labelled: bool = True
    """Whether rows are texts with labels; a language model's rows have their kind there, and are never relabelled."""

    def count(self, kind: Kind) -> int:
        """Return how many rows were added, removed or relabelled."""
        return sum(change.kind == kind for change in self.changes)


def compare(before: Iterable[Path], after: Iterable[Path], *, conversations: bool = False) -> Difference:
    """Compare two sets of parquet shards by text and label; the order of rows doesn't matter.

    Two rows of a language model are the same when all of them is: what is said, by whom, and what it is worth.

    A text that stands in several rows is compared as often as it stands there.

    Args:
        before: Shards with the string columns ``text`` and ``label``.
        after: The same, later.
        conversations: Whether both hold rows of a language model.
    """
    keys = [*KEYS, CONVERSATION] if conversations else KEYS
    old, new = _counts(before, keys), _counts(after, keys)
    joined = old.join(new, keys, join_type="full outer", left_suffix="_old", right_suffix="_new")
    rows = sorted(_differing(joined), key=lambda row: [row[name] for name in keys])
    changes: list[Change] = []
    for text, group in groupby(rows, key=lambda row: row["text"]):
        changes += _changes(text, list(group), pair=not conversations)
    return Difference(_total(old), _total(new), tuple(changes), labelled=not conversations)


def _counts(shards: Iterable[Path], keys: list[str]) -> pa.Table:
    """Count the rows of each text and label; a missing label counts as an empty one, for a join skips nulls."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    columns = {name: pa.string() for name in keys}
    tables = [pa.schema(columns).empty_table()]
    for shard in shards:
        table = pq.ParquetFile(shard).read(columns=keys).cast(pa.schema(columns))
        tables.append(pa.table({name: pc.fill_null(table[name], "") for name in keys}))
    return pa.concat_tables(tables).group_by(keys).aggregate([([], "count_all")])


def _differing(joined: pa.Table) -> list[dict[str, Any]]:
    """Return the texts and labels that don't stand equally often on both sides."""
    import pyarrow.compute as pc

    old, new = (pc.fill_null(joined[f"count_all_{side}"], 0) for side in ("old", "new"))
    rows: list[dict[str, Any]] = joined.filter(pc.not_equal(old, new)).to_pylist()
    return rows


def _changes(text: str, rows: list[dict[str, Any]], *, pair: bool) -> list[Change]:
    """Pair, where asked, the labels that a text lost with those that it gained."""
    gone: list[str] = []
    come: list[str] = []
    for row in rows:
        more = (row["count_all_new"] or 0) - (row["count_all_old"] or 0)
        (come if more > 0 else gone).extend([row["label"]] * abs(more))
    pairs = min(len(gone), len(come)) if pair else 0
    return [
        *(Change("relabelled", text, old, new) for old, new in zip(gone[:pairs], come[:pairs], strict=True)),
        *(Change("removed", text, label, None) for label in gone[pairs:]),
        *(Change("added", text, None, label) for label in come[pairs:]),
    ]


def _total(counts: pa.Table) -> int:
    return sum(counts["count_all"].to_pylist())
