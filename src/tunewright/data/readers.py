"""One reader a format: each streams the rows of a file in bounded memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from tunewright.data.decoding import lines, text_chunks
from tunewright.data.delimited import fitted, records
from tunewright.data.json_rows import Window, array_rows, as_cells, line_rows
from tunewright.data.rows import Malformed, Rows, Tally
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.data.detection import FileFacts
    from tunewright.data.streams import SourceFile

SAMPLE_ROWS = 2_000
"""Rows at the start of a file from which columns are chosen."""
PARQUET_BATCH_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a source and those that matter most."""

    columns: tuple[str, ...]
    text: str
    label: str | None

    @property
    def needed(self) -> int:
        """How many leading columns reach to both the text and the label."""
        return max(self.columns.index(name) for name in (self.text, self.label) if name is not None) + 1


def read(file: SourceFile, facts: FileFacts, layout: Layout, tally: Tally) -> Rows:
    """Stream the rows of one file, values in the order of ``layout.columns``.

    Raises:
        InputError: When the file can't be read to its end.
    """
    with file.open() as stream:
        yield from READERS[facts.format](stream, file, facts, layout, tally)


def sample_columns(file: SourceFile, facts: FileFacts) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return the columns of a file and the rows at its start.

    Raises:
        InputError: When it holds no row.
    """
    if facts.columns:
        names = facts.columns
    elif facts.format == "parquet":
        with file.open() as stream:
            names = tuple(_parquet(stream, file).schema_arrow.names)
    else:
        names = _json_columns(file, facts)
    layout = Layout(names, names[0], names[-1]) if names else None
    found = [] if layout is None else itertools.islice(read(file, facts, layout, Tally()), SAMPLE_ROWS)
    rows = [row for row in found if not isinstance(row, Malformed)]
    if not rows:
        raise InputError(
            "holds no row that can be read", place=file.place, mend="check the file and data.format"
        )
    return names, rows


def _read_delimited(
    stream: IO[bytes], _file: SourceFile, facts: FileFacts, layout: Layout, tally: Tally
) -> Rows:
    """Read CSV or TSV."""
    if facts.dialect is None or facts.encoding is None:
        raise TypeError("a delimited file needs a dialect and an encoding")
    source = lines(text_chunks(stream, facts.encoding), facts.dialect.terminator)
    found = records(source, facts.dialect, tally)
    body = itertools.islice(found, 1, None) if facts.header else found
    return fitted(body, width=len(layout.columns), needed=layout.needed, tally=tally)


def _read_json(stream: IO[bytes], file: SourceFile, facts: FileFacts, layout: Layout, tally: Tally) -> Rows:
    """Read the array of a JSON document."""
    window = Window(text_chunks(stream, str(facts.encoding)), place=file.place)
    return _laid_out(array_rows(window, facts.json_field), layout, tally)


def _read_json_lines(
    stream: IO[bytes], _file: SourceFile, facts: FileFacts, layout: Layout, tally: Tally
) -> Rows:
    """Read one JSON value a line."""
    return _laid_out(line_rows(lines(text_chunks(stream, str(facts.encoding)))), layout, tally)


def _laid_out(values: Iterator[Any], layout: Layout, tally: Tally) -> Rows:
    """Lay JSON values out in columns, counting fields that have no column."""
    known = frozenset(layout.columns)
    for value in values:
        if isinstance(value, dict) and not value.keys() <= known:
            tally.add("unknown_fields")
        yield as_cells(value, layout.columns)


def _read_parquet(
    stream: IO[bytes], file: SourceFile, _facts: FileFacts, layout: Layout, _tally: Tally
) -> Rows:
    """Read Parquet batch by batch."""
    import pyarrow as pa

    table = _parquet(stream, file)
    done = 0
    try:
        for batch in table.iter_batches(PARQUET_BATCH_ROWS, columns=list(layout.columns)):
            yield from zip(*(batch.column(name).to_pylist() for name in layout.columns), strict=True)
            done += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged_parquet(file, error, f"after row {done:,}") from error


def _parquet(stream: IO[bytes], file: SourceFile) -> Any:  # noqa: ANN401
    """Open a Parquet file; its footer stands at the end, so that a cut-off one shows at once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(stream, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged_parquet(file, error, "in its footer") from error


def _damaged_parquet(file: SourceFile, error: Exception, where: str) -> InputError:
    from tunewright.data.streams import first_line

    return InputError(
        f"is damaged or cut-off Parquet {where} ({first_line(error)})",
        place=file.place,
        mend="copy or write the file again",
    )


def _json_columns(file: SourceFile, facts: FileFacts) -> tuple[str, ...]:
    """Return the fields of the first rows in the order in which they turn up; arrays get numbered columns."""
    with file.open() as stream:
        chunks = text_chunks(stream, str(facts.encoding))
        if facts.format == "jsonl":
            values = line_rows(lines(chunks))
        else:
            values = array_rows(Window(chunks, place=file.place), facts.json_field)
        names: dict[str, None] = {}
        for value in itertools.islice(values, SAMPLE_ROWS):
            if isinstance(value, dict):
                names.update(dict.fromkeys(value))
            elif isinstance(value, list) and not names:
                names.update(dict.fromkeys(f"column_{number + 1}" for number in range(len(value))))
    return tuple(names)


Reader: TypeAlias = "Callable[[IO[bytes], SourceFile, FileFacts, Layout, Tally], Rows]"
READERS: dict[str, Reader] = {
    "csv": _read_delimited,
    "tsv": _read_delimited,
    "json": _read_json,
    "jsonl": _read_json_lines,
    "parquet": _read_parquet,
}
"""Format to reader."""
