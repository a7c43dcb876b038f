"""Parquet parts: read one at a time, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import writing_folder

if TYPE_CHECKING:
    import pyarrow as pa

PART = "part-{:05d}.parquet"
PART_ROWS = 100_000
"""Rows a part where no setting says it."""
GROUP_ROWS = 10_000
"""Rows a row group: what a reader holds in memory."""
MEND = "run `tunewright run --force` to write it again"


def read_parts(folder: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Give the rows of a folder's ``part-*.parquet`` in order, a row group at a time.

    Args:
        folder: What an earlier step wrote.
        columns: The columns to read, in this order; none reads all.

    Raises:
        InputError: When the folder holds no part, or one is damaged or lacks a column.
    """
    paths = sorted(folder.glob("part-*.parquet"))
    if not paths:
        raise InputError("holds no parquet part", place=str(folder), mend="run `tunewright run` to make it")
    for path in paths:
        yield from row_groups(path, columns)


def row_groups(path: Path, columns: Sequence[str] | None = None, *, mend: str = MEND) -> Iterator[pa.Table]:
    """Give the row groups of one part; a part without rows gives one empty table.

    Args:
        path: The file.
        columns: As in ``read_parts``.
        mend: What to do when it is damaged.

    Raises:
        InputError: When it is damaged or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as part:
            names = list(part.schema_arrow.names if columns is None else columns)
            for group in range(part.num_row_groups):
                yield part.read_row_group(group, columns=names).select(names)
            if not part.num_row_groups:
                yield part.schema_arrow.empty_table().select(names)
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise InputError(
            f"can't be read ({str(error).splitlines()[0]})",
            place=str(path),
            mend=mend,
        ) from error


class PartWriter:
    """Writes rows as parts of a bounded size, in row groups of one size, whatever pieces they come in.

    Args:
        folder: An empty or new folder.
        rows: Rows a part, at least 1.
    """

    def __init__(self, folder: Path, *, rows: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._rows = rows
        self._waiting: list[pa.Table] = []
        self._in_part = 0
        self._parts = 0
        self._writer: Any = None

    def add(self, table: pa.Table) -> None:
        """Add rows; full row groups are written at once."""
        import pyarrow as pa

        self._waiting.append(table)
        while sum(item.num_rows for item in self._waiting) >= self._group_rows:
            whole = pa.concat_tables(self._waiting)
            size = self._group_rows
            self._write(whole.slice(0, size))
            self._waiting = [whole.slice(size)]

    def close(self) -> None:
        """Write what waits; rows of none still make a part, so that the schema is known."""
        import pyarrow as pa

        rest = pa.concat_tables(self._waiting) if self._waiting else None
        if rest is not None and (rest.num_rows or not self._parts):
            self._write(rest)
        if self._writer is not None:
            self._writer.close()
        self._waiting, self._writer = [], None

    @property
    def _group_rows(self) -> int:
        """Rows of the next row group."""
        return min(GROUP_ROWS, self._rows - self._in_part)

    def _write(self, table: pa.Table) -> None:
        """Write one row group; the part is closed when it is full."""
        import pyarrow.parquet as pq

        if self._writer is None:
            self._writer = pq.ParquetWriter(self._folder / PART.format(self._parts), table.schema)
            self._parts += 1
        self._writer.write_table(table.combine_chunks())
        self._in_part += table.num_rows
        if self._in_part >= self._rows:
            self._writer.close()
            self._writer, self._in_part = None, 0


@contextmanager
def writing_parts(folder: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of ``folder`` when all went well.

    Raises:
        TunewrightError: When the disk is full or the folder may not be written.
    """
    try:
        with writing_folder(folder) as temporary:
            yield temporary
    except OSError as error:
        raise TunewrightError(
            f"can't be written ({error.strerror or error})",
            place=str(folder),
            mend="free some space or give write permission, then run again",
        ) from error
