"""Parquet shards written as a stream: small row groups, a new file every so many rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tunewright.data.parts import PART

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS = 10_000
GROUP_CHARACTERS = 4_000_000
"""A row group holds no more than this of text; it bounds memory when writing and when reading back."""


class ShardWriter:
    """Writes rows into ``part-00000.parquet`` and on; at least one file, so that the schema is known.

    Args:
        folder: An existing folder.
        schema: The columns; rows are tuples in their order.
        shard_rows: Rows a file, at most.
    """

    def __init__(self, folder: Path, schema: pa.Schema, *, shard_rows: int) -> None:
        self._folder = folder
        self._schema = schema
        self._shard_rows = shard_rows
        self._waiting: list[Sequence[object]] = []
        self._characters = 0
        self._in_shard = 0
        self._shards = 0
        self._writer: Any = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
            if not self._shards:
                self._open()
        if self._writer is not None:
            self._writer.close()

    def add(self, row: Sequence[object], *, characters: int) -> None:
        """Add one row; what is full is written at once.

        Args:
            row: The values in the order of the schema.
            characters: How much text it holds.
        """
        self._waiting.append(row)
        self._characters += characters
        full = self._in_shard + len(self._waiting) >= self._shard_rows
        if full or len(self._waiting) >= GROUP_ROWS or self._characters >= GROUP_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        """Write the rows that wait as one row group."""
        import pyarrow as pa

        if not self._waiting:
            return
        if self._writer is None:
            self._open()
        columns = [
            pa.array(values, type=field.type)
            for values, field in zip(zip(*self._waiting, strict=True), self._schema, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._in_shard += len(self._waiting)
        self._waiting, self._characters = [], 0
        if self._in_shard >= self._shard_rows:
            self._writer.close()
            self._writer, self._in_shard = None, 0

    def _open(self) -> None:
        """Begin the next file."""
        import pyarrow.parquet as pq

        self._writer = pq.ParquetWriter(self._folder / PART.format(self._shards), self._schema)
        self._shards += 1
