"""The rows of a source as they are, each with its number and file: JSON, JSON Lines, Parquet, CSV, TSV, plain text."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.data.decoding import (
    MAX_ROW_CHARACTERS,
    Encoding,
    detect_encoding,
    known_encoding,
    lines,
    text_chunks,
)
from tunewright.data.detection import FileFacts, detect, first_bytes, refuse_binary
from tunewright.data.json_rows import SHOWN, Window, array_rows, line_rows
from tunewright.data.locations import locate
from tunewright.data.readers import Layout, read, sample_columns
from tunewright.data.rows import Malformed, Tally
from tunewright.data.streams import SourceFile, format_suffix
from tunewright.support.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.config.data import DataConfig

TEXT_SUFFIXES = frozenset({".txt", ".text"})
TEXT = "txt"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row as it stands in its file."""

    row: int
    """Its number in the file, counted from 1; blank lines and the header aside."""
    source: str
    """The file."""
    value: Any
    """What it holds: an object if it is well formed; ``Malformed`` where it can't be read."""


@dataclass(frozen=True, slots=True)
class ChatSource:
    """The files of a source, and how each is read."""

    uri: str
    files: tuple[tuple[SourceFile, FileFacts], ...]
    notes: tuple[str, ...] = ()
    """What was odd about it, for people."""
    max_rows: int | None = None
    """Only so many rows are read; none reads all."""

    def rows(self) -> Generator[SourceRow, None, None]:
        """Give the rows of all files, in memory that doesn't grow with them.

        Raises:
            InputError: When a file can't be read to its end.
        """
        with closing(self._all_rows()) as rows:
            yield from itertools.islice(rows, self.max_rows)

    def first(self, count: int) -> list[Any]:
        """Return the first rows, also those that can't be read.

        Raises:
            InputError: When a file can't be read that far.
        """
        with closing(self.rows()) as rows:
            return [each.value for each in itertools.islice(rows, count)]

    def _all_rows(self) -> Generator[SourceRow, None, None]:
        for file, facts in self.files:
            with closing(_values(file, facts)) as values:
                for number, value in enumerate(values, start=1):
                    yield SourceRow(number, file.name, value)


def open_source(config: DataConfig, *, base_dir: Path) -> ChatSource:
    """Find the files of a source and detect how each is read.

    Args:
        config: The source (a file, a folder, a pattern, or a URL that fsspec knows), and what is told about its files.
        base_dir: The folder that relative paths start from.

    Raises:
        InputError: When there is no such file, or one is no data.
        MissingExtraError: When its store needs a package that is not installed.
    """
    located = locate(config, base_dir=base_dir)
    if located.kind == "hub":
        path = base_dir / located.uri
        near = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(
            "no such file or folder", place=located.uri, mend=nearest(path.name, near) or "check the path"
        )
    chosen, ignored = _chosen(located.files), list(located.ignored)
    ignored += [file.name for file in located.files if file not in chosen]
    files = tuple((file, _facts(file, config)) for file in chosen)
    notes = [
        f"{file.name}: {note}" if len(files) > 1 else note for file, facts in files for note in facts.notes
    ]
    if ignored:
        notes.append(f"not read, because they hold no rows by their names: {', '.join(ignored[:10])}")
    return ChatSource(located.uri, files, tuple(notes), config.max_rows)


def _chosen(files: Sequence[SourceFile]) -> Sequence[SourceFile]:
    """Pass over a licence or a read-me beside text files."""
    if len(files) == 1 or any(file.format for file in files):
        return files
    return [file for file in files if _is_text(file)] or files


def _is_text(file: SourceFile) -> bool:
    return format_suffix(file.name) in TEXT_SUFFIXES


def _facts(file: SourceFile, config: DataConfig) -> FileFacts:
    """Detect how a file is read; untold, a table has a header, and follows RFC 4180 where its name says CSV."""
    if config.format != "auto" or not _is_text(file):
        untold = {"header": "yes"} if config.header == "auto" else {}
        if config.quoting == "auto" and file.format == "csv":
            untold["quoting"] = "minimal"
        return detect(file, config.model_copy(update=untold), labelled=False)
    refuse_binary(file, first_bytes(file))
    with file.open() as stream:
        told = config.encoding and Encoding(known_encoding(config.encoding))
        encoding = told or detect_encoding(stream, place=file.place)
    return FileFacts(TEXT, encoding.name, notes=encoding.notes)


def _values(file: SourceFile, facts: FileFacts) -> Generator[Any, None, None]:
    """Give the rows of one file as objects, or why one could not be read."""
    if facts.format not in {"json", "jsonl", TEXT}:
        yield from _table_rows(file, facts)
        return
    with file.open() as stream:
        chunks = text_chunks(stream, str(facts.encoding))
        if facts.format == "jsonl":
            yield from line_rows(lines(chunks))
        elif facts.format == "json":
            yield from array_rows(Window(chunks, place=file.place), facts.json_field)
        else:
            yield from _text_rows(lines(chunks))


def _text_rows(source: Iterator[str]) -> Iterator[Any]:
    """Give each line that isn't blank as a row with one column."""
    for line in source:
        if len(line) > MAX_ROW_CHARACTERS:
            yield Malformed("row_too_long", f"over {MAX_ROW_CHARACTERS:,} characters", line[:SHOWN])
        elif line.strip():
            yield {"text": line.rstrip("\r\n")}


def _table_rows(file: SourceFile, facts: FileFacts) -> Iterator[Any]:
    """Give the rows of a table as objects."""
    names, _ = sample_columns(file, facts)
    # A row needs no more than its first column: which field is missing is for the format to say.
    for values in read(file, facts, Layout(names, names[0], None), Tally()):
        yield values if isinstance(values, Malformed) else dict(zip(names, values, strict=True))
