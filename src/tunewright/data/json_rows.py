"""Rows of JSON and JSON Lines, read as a stream.

The standard decoder is fed a growing window of text, because streaming JSON libraries built on YAJL refuse
``NaN`` and integers beyond 64 bits, and turn lone surrogates into question marks without a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tunewright.data.decoding import MAX_ROW_CHARACTERS
from tunewright.data.rows import Malformed
from tunewright.support.errors import InputError

SHOWN = 200
SPACE = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder()
PREFERRED_FIELDS = ("rows", "data", "train", "examples")
"""Fields of an object that are taken for the rows when none is named, best first."""


class Window:
    """A cursor over a stream of text that keeps only what is still needed.

    Args:
        chunks: The text in pieces.
        place: The file, for messages.
    """

    def __init__(self, chunks: Iterator[str], *, place: str) -> None:
        self._chunks = chunks
        self._text = ""
        self._at = 0
        self._ended = False
        self.place = place
        self.values = 0
        """Rows read so far, for messages."""

    def peek(self) -> str:
        """Return the next character that is not white space, or an empty string at the end."""
        while True:
            self._at = SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._grow():
                return ""

    def take(self, expected: str) -> str:
        """Consume one of the characters ``expected``.

        Raises:
            InputError: When something else comes.
        """
        found = self.peek()
        if not found or found not in expected:
            raise self.broken(
                f"'{found}' where '{expected[0]}' is expected" if found else "it ends too early"
            )
        self._at += 1
        return found

    def value(self) -> Any:  # noqa: ANN401
        """Consume and return one whole JSON value of bounded size.

        Raises:
            InputError: When it is malformed, cut off or too long.
        """
        self.peek()
        while True:
            try:
                found, end = DECODER.raw_decode(self._text, self._at)
            except RecursionError:
                raise self.broken("it is nested too deeply") from None
            except json.JSONDecodeError as error:
                fault = error.msg
            except ValueError as error:
                raise self.broken(str(error)) from error
            else:
                # A number at the end of the window may go on in the next chunk.
                if end < len(self._text) or self._ended or isinstance(found, str | dict | list):
                    self._at = end
                    return found
                fault = "it ends too early"
            if len(self._text) - self._at > MAX_ROW_CHARACTERS:
                raise self.broken(f"a value is malformed or over {MAX_ROW_CHARACTERS:,} characters ({fault})")
            if not self._grow():
                raise self.broken(fault)

    def broken(self, fault: str) -> InputError:
        """Return the error to raise for malformed text."""
        return InputError(
            f"is malformed or cut-off JSON after row {self.values:,} ({fault})",
            place=self.place,
            mend="write the file again, or convert it to JSON Lines, where one bad row does not stop the rest",
        )

    def _grow(self) -> bool:
        """Read on; ``False`` at the end of the file."""
        for chunk in self._chunks:
            if chunk:
                self._text, self._at = self._text[self._at :] + chunk, 0
                return True
        self._ended = True
        return False


def array_rows(window: Window, field: str | None) -> Iterator[Any]:
    """Give the elements of the array that holds the rows.

    Args:
        window: The text, at the start of the document.
        field: The field of the top-level object that holds them; none when the document is the array.

    Raises:
        InputError: When there is no such array, or the text is malformed.
    """
    if field is None:
        yield from _elements(window)
        if window.peek():
            raise window.broken("more text follows the end of the array")
        return
    for name in _fields(window):
        if name == field and window.peek() == "[":
            yield from _elements(window)
            return
        _skip(window)
    raise InputError(f"has no array '{field}'", place=window.place, mend="check data.json_field")


def row_fields(window: Window) -> tuple[str, ...]:
    """Return the fields of the top-level object that hold arrays; the file is read through once."""
    found = []
    for name in _fields(window):
        if window.peek() == "[":
            found.append(name)
        _skip(window)
    return tuple(found)


def line_rows(source: Iterator[str]) -> Iterator[Any]:
    """Give the value of each line of JSON Lines, or why it could not be read; blank lines are passed over."""
    for line in source:
        if len(line) > MAX_ROW_CHARACTERS:
            yield Malformed("row_too_long", f"over {MAX_ROW_CHARACTERS:,} characters", line[:SHOWN])
            continue
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except RecursionError:
            yield Malformed("malformed_json", "nested too deeply", line[:SHOWN])
        except ValueError as error:
            yield Malformed("malformed_json", str(error), line[:SHOWN].rstrip())


def as_cells(value: Any, columns: tuple[str, ...]) -> tuple[object, ...] | Malformed:  # noqa: ANN401
    """Lay the value of a row out in columns; a row is an object, or an array as wide as the columns."""
    if isinstance(value, Malformed):
        return value
    if isinstance(value, dict):
        return tuple(value.get(name) for name in columns)
    if isinstance(value, list):
        if len(value) == len(columns):
            return tuple(value)
        return Malformed(
            "ragged_row", f"{len(value)} values where {len(columns)} are expected", _start(value)
        )
    return Malformed("not_a_row", f"a {_kind(value)} where an object is expected", _start(value))


def _elements(window: Window) -> Iterator[Any]:
    """Give the elements of the array at the cursor."""
    window.take("[")
    if window.peek() == "]":
        window.take("]")
        return
    while True:
        yield window.value()
        window.values += 1
        if window.take(",]") == "]":
            return


def _fields(window: Window) -> Iterator[str]:
    """Give the names of the object at the cursor; the caller consumes each value before it goes on."""
    window.take("{")
    if window.peek() == "}":
        window.take("}")
        return
    while True:
        if window.peek() != '"':
            raise window.broken("a field name is expected")
        name = window.value()
        window.take(":")
        yield name
        if window.take(",}") == "}":
            return


def _skip(window: Window) -> None:
    """Consume a value; an array element by element, so that it never stands in memory whole."""
    if window.peek() == "[":
        for _ in _elements(window):
            window.values = 0
    else:
        window.value()


def _kind(value: object) -> str:
    return {"str": "string", "NoneType": "null", "bool": "boolean"}.get(type(value).__name__, "number")


def _start(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)[:SHOWN]
