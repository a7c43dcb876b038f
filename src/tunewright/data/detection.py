"""How a file is to be read: format, encoding, delimiter, quoting, header; the configuration always wins."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.data.columns import looks_like_header, names_a_column
from tunewright.data.decoding import (
    CHUNK_BYTES,
    Encoding,
    detect_encoding,
    known_encoding,
    line_terminator,
    lines,
    text_chunks,
)
from tunewright.data.delimited import Dialect, records
from tunewright.data.dialects import choose_dialect, one_column
from tunewright.data.json_rows import PREFERRED_FIELDS, Window, row_fields
from tunewright.data.rows import Malformed, Tally
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.config.data import DataConfig
    from tunewright.data.streams import SourceFile

SIGNATURES = {
    b"PK\x03\x04": "a zip archive or an Office workbook",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "gzip-compressed",
    b"BZh9": "bzip2-compressed",
    b"\xfd7zXZ": "xz-compressed",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "an SQLite database",
    b"Obj\x01": "an Avro file",
}
PARQUET = b"PAR1"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """How one file is read."""

    format: str
    encoding: str | None = None
    dialect: Dialect | None = None
    header: bool | None = None
    columns: tuple[str, ...] = ()
    """Names of the columns of a delimited file; other formats name theirs row by row."""
    json_field: str | None = None
    notes: tuple[str, ...] = ()


def detect(file: SourceFile, config: DataConfig, *, labelled: bool = True) -> FileFacts:
    """Look at the name and the first bytes of a file.

    Args:
        file: The file to look at.
        config: What it says about format, encoding, delimiter, quoting and header is not questioned.
        labelled: Whether labels are expected; without them a file may be one text a line.

    Raises:
        InputError: When the file is empty, no data, or contradicts the configuration.
    """
    head = first_bytes(file)
    told = config.format if config.format not in {"auto", "hub"} else None
    if head.startswith(PARQUET) or "parquet" in {told, file.format if told is None else None}:
        return _parquet(file, head, told)
    refuse_binary(file, head)
    encoding = _encoding(file, config)
    sample = next(text_chunks(io.BytesIO(head), encoding.name))
    kind, note = (told, None) if told else _text_format(file, sample)
    notes = (*encoding.notes, *((note,) if note else ()))
    if kind == "json":
        field, more = _json_field(file, sample, encoding.name, config)
        return FileFacts("json", encoding.name, json_field=field, notes=(*notes, *more))
    if kind == "jsonl":
        return FileFacts("jsonl", encoding.name, notes=notes)
    whole = len(head) < CHUNK_BYTES
    return _delimited(file, sample, encoding.name, config, notes, whole=whole, labelled=labelled)


def first_bytes(file: SourceFile) -> bytes:
    """Return the start of a file.

    Raises:
        InputError: When it is empty, or holds white space alone.
    """
    with file.open() as stream:
        head = stream.read(CHUNK_BYTES)
    if not head.strip(b" \t\r\n\x00\xef\xbb\xbf\xff\xfe"):
        raise InputError("is empty", place=file.place, mend="check data.source")
    return head


def _parquet(file: SourceFile, head: bytes, told: str | None) -> FileFacts:
    """Tell real Parquet from a file that only has its name."""
    if not head.startswith(PARQUET):
        raise InputError("is not a Parquet file", place=file.place, mend="check data.source and data.format")
    if told not in {None, "parquet"}:
        raise InputError(
            f"is a Parquet file, and data.format says {told}", place=file.place, mend="set data.format=auto"
        )
    named = file.format not in {None, "parquet"}
    return FileFacts(
        "parquet", notes=("the file is Parquet although its name says otherwise",) if named else ()
    )


def refuse_binary(file: SourceFile, head: bytes) -> None:
    """Refuse formats that are known and not read.

    Raises:
        InputError: When the file begins like one of them.
    """
    for signature, what in SIGNATURES.items():
        if head.startswith(signature):
            raise InputError(
                f"is {what}", place=file.place, mend="export it as CSV, JSONL or Parquet, or name its suffix"
            )


def _encoding(file: SourceFile, config: DataConfig) -> Encoding:
    """Return the encoding that is told, or find it."""
    if config.encoding is not None:
        return Encoding(known_encoding(config.encoding))
    with file.open() as stream:
        return detect_encoding(stream, place=file.place)


def _text_format(file: SourceFile, sample: str) -> tuple[str, str | None]:
    """Tell CSV, JSON and JSON Lines apart: by content where the name says JSON or nothing."""
    if file.format in {"csv", "tsv"}:
        return file.format, None
    text = sample.lstrip()
    if file.format is None and text[:1] not in {"{", "["}:
        return "csv", None
    found = "jsonl" if _is_json_lines(text, file.format) else "json"
    if file.format is None and found == "json" and not _opens_as_json(text):
        return "csv", None
    note = f"the file holds {found.upper()} although its name says {file.format}"
    return found, note if file.format not in {None, found} else None


def _is_json_lines(text: str, named: str | None) -> bool:
    """Tell whether the first line is a JSON value of its own and another follows.

    Args:
        text: The start of the file.
        named: The format that the name tells; it decides on a file of one single line.
    """
    import json

    first, newline, rest = text.partition("\n")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return first.lstrip()[:1] == "{" and rest.lstrip()[:1] == "{"
    if newline and rest.strip():
        return True
    return first.startswith("{") and (named == "jsonl" or (named is None and "[" not in first))


def _opens_as_json(text: str) -> bool:
    """Tell a JSON document from a line of text that happens to begin with a bracket."""
    return text[1:].lstrip()[:1] in {'"', "{", "[", "}", "]"}


def _json_field(
    file: SourceFile, sample: str, encoding: str, config: DataConfig
) -> tuple[str | None, tuple[str, ...]]:
    """Find the array that holds the rows of a JSON document."""
    if not sample.lstrip().startswith("{"):
        if config.json_field:
            raise InputError(
                "is an array, it has no fields", place=file.place, mend="leave data.json_field unset"
            )
        return None, ()
    if config.json_field:
        return config.json_field, ()
    with file.open() as stream:
        fields = row_fields(Window(text_chunks(stream, encoding), place=file.place))
    chosen = next(
        (name for name in PREFERRED_FIELDS if name in fields), fields[0] if len(fields) == 1 else None
    )
    if chosen is None:
        shown = f"its arrays are: {', '.join(fields)}" if fields else "it holds no array of rows"
        raise InputError(
            "which field holds the rows is not clear", place=file.place, mend=f"set data.json_field ({shown})"
        )
    others = [name for name in fields if name != chosen]
    beside = f"; not read: {', '.join(others)}" if others else ""
    return chosen, (f"the rows were taken from the field '{chosen}'{beside}",)


def _delimited(
    file: SourceFile,
    sample: str,
    encoding: str,
    config: DataConfig,
    notes: tuple[str, ...],
    *,
    whole: bool,
    labelled: bool,
) -> FileFacts:
    """Find delimiter, quoting and header, and the names of the columns."""
    terminator = line_terminator(sample)
    found = list(lines(iter([sample]), terminator))
    complete = found if whole or len(found) == 1 else found[:-1]
    single = None if labelled else one_column(file, complete, config, terminator)
    dialect = single or choose_dialect(file, complete, config, terminator)
    rows = [row for row in records(iter(complete), dialect, Tally()) if not isinstance(row, Malformed)]
    if not rows:
        raise InputError(
            "no row can be read", place=file.place, mend="set data.quoting=none or data.delimiter"
        )
    if single:
        notes = (*notes, "each line was taken for one text; data.delimiter tells otherwise")
    if config.header != "auto":
        header = config.header == "yes"
    else:
        header = names_a_column(rows[0][0]) if single else looks_like_header(rows[0], rows[1:])
    width = len(rows[0]) if header else Counter(map(len, rows)).most_common(1)[0][0]
    columns, odd = _column_names(rows[0] if header else [], width)
    return FileFacts(
        "tsv" if dialect.delimiter == "\t" else "csv",
        encoding,
        dialect,
        header,
        columns,
        notes=(*notes, *_line_end_notes(sample, terminator), *odd),
    )


def _line_end_notes(sample: str, terminator: str) -> tuple[str, ...]:
    """Say how lines end where it isn't a line feed."""
    if terminator == "\r":
        return ("lines end with a lone carriage return",)
    with_return, all_lines = sample.count("\r\n"), sample.count("\n")
    if not with_return:
        return ()
    if with_return == all_lines:
        return ("lines end with CRLF",)
    return (f"line ends are mixed: {with_return:,} of the first {all_lines:,} lines end with CRLF",)


def _column_names(first: list[str], width: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name the columns; those without a name, or with one that is taken, get their number."""
    names: list[str] = []
    nameless = repeated = 0
    for number in range(1, width + 1):
        name = first[number - 1].strip() if first else ""
        if first and not name:
            nameless += 1
        elif name in names:
            repeated += 1
        names.append(name if name and name not in names else f"column_{number}")
    notes = []
    if nameless:
        notes.append(
            f"{nameless} columns have no name; they are called by their number, as in column_{width}"
        )
    if repeated:
        notes.append(f"{repeated} columns repeat the name of another; they are called by their number")
    return tuple(names), tuple(notes)
