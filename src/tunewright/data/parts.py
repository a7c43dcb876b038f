"""Parquet parts: read one at a time, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import writing_folder

if TYPE_CHECKING:
    import pyarrow as pa

PART = "part-{:05d}.parquet"


def read_parts(folder: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Give the tables of a folder's ``part-*.parquet`` one by one, in order.

    Args:
        folder: What an earlier step wrote.
        columns: The columns to read; none reads all.

    Raises:
        InputError: When the folder holds no part, or one is damaged or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = sorted(folder.glob("part-*.parquet"))
    if not paths:
        raise InputError("holds no parquet part", place=str(folder), mend="run `tunewright run` to make it")
    for path in paths:
        try:
            table = pq.read_table(path, columns=None if columns is None else list(columns))
        except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
            raise InputError(
                f"can't be read ({str(error).splitlines()[0]})",
                place=str(path),
                mend="run `tunewright run --force` to write it again",
            ) from error
        missing = sorted(set(columns or ()) - set(table.column_names))
        if missing:
            raise InputError(f"lacks the column '{missing[0]}'", place=str(path), mend="run with --force")
        yield table


class PartWriter:
    """Writes rows as parts of a bounded size.

    Args:
        folder: An empty or new folder.
        rows: Rows a part, at least 1.
    """

    def __init__(self, folder: Path, *, rows: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._rows = rows
        self._waiting: list[pa.Table] = []
        self._parts = 0

    def add(self, table: pa.Table) -> None:
        """Add rows; full parts are written at once."""
        import pyarrow as pa

        self._waiting.append(table)
        while sum(item.num_rows for item in self._waiting) >= self._rows:
            whole = pa.concat_tables(self._waiting)
            self._write(whole.slice(0, self._rows))
            self._waiting = [whole.slice(self._rows)]

    def close(self) -> None:
        """Write what waits; a folder always gets at least one part, so that its schema is known."""
        import pyarrow as pa

        rest = pa.concat_tables(self._waiting) if self._waiting else None
        if rest is not None and (rest.num_rows or not self._parts):
            self._write(rest)
        self._waiting = []

    def _write(self, table: pa.Table) -> None:
        """Write the next part."""
        import pyarrow.parquet as pq

        pq.write_table(table.combine_chunks(), self._folder / PART.format(self._parts))
        self._parts += 1


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
