"""Rows of CSV and TSV text, with the number of every bad one.

Quoting follows RFC 4180. A quote that is never closed would swallow the rows after it, so such a record is
given up at its first line and reading goes on at the next.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from tunewright.data.decoding import MAX_ROW_CHARACTERS
from tunewright.data.rows import Malformed, Rows, Tally, Values

SHOWN = 200
"""Characters of a bad row that are kept."""
LONE_RETURN = "\udc0d"
"""Stands for a carriage return inside a line: the csv module takes it for the end of a row."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How lines become fields."""

    delimiter: str
    quoted: bool
    terminator: str = "\n"


class _TooLongError(Exception):
    """A record grew beyond the bound."""


class _Feed:
    """Lines that can be given back, with a memory of those that the record under way has taken."""

    def __init__(self, source: Iterator[str]) -> None:
        self._source = source
        self._again: deque[str] = deque()
        self.taken: list[str] = []
        self._length = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        """Give the next line to the csv module."""
        line = self.take()
        self.taken.append(line)
        self._length += len(line)
        if self._length > MAX_ROW_CHARACTERS:
            raise _TooLongError
        body = line.rstrip("\r\n")
        return body.replace("\r", LONE_RETURN) + line[len(body) :] if "\r" in body else line

    def take(self) -> str:
        """Give the next line outside a record."""
        return self._again.popleft() if self._again else next(self._source)

    def start(self, line: str) -> None:
        """Begin a record with a line that was taken."""
        self.taken, self._length = [], 0
        self._again.appendleft(line)

    def give_up(self) -> None:
        """Give back every line of the record but the first."""
        self._again.extendleft(reversed(self.taken[1:]))


def records(source: Iterator[str], dialect: Dialect, tally: Tally) -> Iterator[list[str] | Malformed]:
    """Cut lines into fields.

    Args:
        source: Lines with their terminators.
        dialect: Delimiter and quoting.
        tally: Takes ``blank_lines``, ``irregular_quotes``, ``line_breaks`` and ``needed_quotes``.

    Yields:
        The fields of each record, or why it could not be read; blank lines are no records.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_CHARACTERS))
    feed = _Feed(source)
    reader = csv.reader(feed, delimiter=dialect.delimiter, strict=True)
    while True:
        try:
            line = feed.take()
        except StopIteration:
            return
        body = line.rstrip("\r\n") if dialect.terminator == "\n" else line.removesuffix(dialect.terminator)
        if len(line) > MAX_ROW_CHARACTERS:
            yield Malformed("row_too_long", f"over {MAX_ROW_CHARACTERS:,} characters", line[:SHOWN])
        elif not body:
            tally.add("blank_lines")
        elif not dialect.quoted or '"' not in body:
            yield body.split(dialect.delimiter)
        else:
            feed.start(line)
            yield _quoted(feed, reader, dialect, tally)


def fitted(source: Iterator[list[str] | Malformed], *, width: int, needed: int, tally: Tally) -> Rows:
    """Bring records to one width.

    Args:
        source: Records as ``records`` gives them.
        width: Columns expected.
        needed: Fields that a row can't do without: those up to the text and the label.
        tally: Takes ``surplus_delimiters`` and ``short_rows``.

    Yields:
        Rows of ``width`` values; missing ones at the end are ``None``.
    """
    for record in source:
        if isinstance(record, Malformed) or len(record) == width:
            yield record if isinstance(record, Malformed) else tuple(record)
        elif len(record) > width and not any(field.strip() for field in record[width:]):
            tally.add("surplus_delimiters")
            yield tuple(record[:width])
        elif needed <= len(record) < width:
            tally.add("short_rows")
            yield _padded(record, width)
        else:
            start = "|".join(record)[:SHOWN]
            yield Malformed("ragged_row", f"{len(record)} fields where {width} are expected", start)


def _padded(record: list[str], width: int) -> Values:
    return (*record, *(None,) * (width - len(record)))


def _quoted(
    feed: _Feed, reader: Iterator[list[str]], dialect: Dialect, tally: Tally
) -> list[str] | Malformed:
    """Read one record that holds quotes; it may run over several lines."""
    try:
        fields = next(reader)
    except (_TooLongError, csv.Error) as error:
        fields = _salvaged(feed, dialect)
        if not fields:
            feed.give_up()
            detail = "a quote is opened and not closed properly"
            if isinstance(error, _TooLongError):
                detail += f" within {MAX_ROW_CHARACTERS:,} characters"
            return Malformed("unclosed_quote", detail, feed.taken[0][:SHOWN])
        tally.add("irregular_quotes")
    else:
        if len(feed.taken) > 1:
            tally.add("line_breaks")
        if any(dialect.delimiter in field or '"' in field for field in fields):
            tally.add("needed_quotes")
    if any("\r" in line.rstrip("\r\n") for line in feed.taken):
        return [field.replace(LONE_RETURN, "\r") for field in fields]
    return fields


def _salvaged(feed: _Feed, dialect: Dialect) -> list[str]:
    """Read a single line with stray quotes leniently; nothing when a quote stays open at its end."""
    if len(feed.taken) != 1:
        return []
    body = feed.taken[0].rstrip("\r\n").replace("\r", LONE_RETURN)
    try:
        # A newline after the body ends up inside the last field when its quote is still open.
        fields = next(csv.reader([body + "\n"], delimiter=dialect.delimiter))
    except csv.Error:
        return []
    return [] if fields[-1].endswith("\n") else fields
