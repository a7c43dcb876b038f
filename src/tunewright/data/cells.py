"""Cells of a source as text: the text, the label and the rest of a row."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tunewright.data.decoding import UNDECODABLE
from tunewright.data.rows import Malformed, Values
from tunewright.data.text_cleaning import cast

SHOWN = 200


@dataclass(frozen=True, slots=True)
class Positions:
    """Where in a row the text, the label and the other columns stand."""

    text: int
    label: int | None
    others: tuple[int, ...]
    labelled: bool = True
    """Whether a row is bad when its label is no text; else such a label counts as none."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is written to a shard."""

    text: str | None
    kind: str | None
    """``number`` or ``boolean`` when the source held no text there."""
    label: str | None
    others: tuple[str | None, ...]


def as_row(values: Values, positions: Positions) -> Row | Malformed:
    """Turn the cells of a row into text, or say why that can't be done."""
    text, kind = _text(values[positions.text])
    if isinstance(text, Malformed):
        return text
    label = None if positions.label is None else label_text(values[positions.label])
    if isinstance(label, Malformed):
        if positions.labelled:
            return label
        label = None
    others = tuple(other_text(values[position]) for position in positions.others)
    for cell in (text, label, *others):
        if cell is not None and not cell.isascii() and not _is_writable(cell):
            return _undecodable(cell)
    return Row(text, kind, label, others)


def _text(value: object) -> tuple[str | Malformed | None, str | None]:
    """Return the text and what it was if it wasn't text; not-a-number is null, as data frames mean it."""
    if isinstance(value, str) or value is None:
        return value, None
    if isinstance(value, bytes):
        return _decoded(value), None
    if isinstance(value, float) and math.isnan(value):
        return None, None
    if isinstance(value, bool | int | float):
        return cast(value), "boolean" if isinstance(value, bool) else "number"
    if isinstance(value, Decimal | date):
        return str(value), "number" if isinstance(value, Decimal) else "date"
    return Malformed("not_text", f"the text is a {_kind(value)}", _dumped(value)[:SHOWN]), None


def label_text(value: object) -> str | Malformed | None:
    """Return the label without white space around it; an empty one is null.

    Whole floats lose their point: data frames turn integer labels into floats where one is missing.
    """
    if isinstance(value, bytes):
        value = _decoded(value)
    if isinstance(value, float):
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    if value is None or isinstance(value, str):
        return (value or "").strip() or None
    if isinstance(value, bool | int | float):
        return cast(value)
    if isinstance(value, Decimal | date):
        return str(value)
    return Malformed("label_not_text", f"the label is a {_kind(value)}", _dumped(value)[:SHOWN])


def other_text(value: object) -> str | None:
    """Return a further cell as text; structures as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, float) and math.isnan(value):
        return None
    return cast(value) if isinstance(value, bool | int | float) else _dumped(value)


def _decoded(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _is_writable(cell: str) -> bool:
    """Tell whether a cell can be written as UTF-8."""
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True


def _undecodable(cell: str) -> Malformed:
    """Say that a cell holds bytes outside its encoding, or half of a character."""
    bytes_lost = UNDECODABLE in cell
    detail = "bytes that the encoding doesn't know" if bytes_lost else "half of a surrogate pair"
    return Malformed("undecodable", detail, cell[:SHOWN].encode("utf-8", "replace").decode())


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "structure"
    return "list" if isinstance(value, list | tuple) else type(value).__name__


def _dumped(value: object) -> str:
    """Return a structure as JSON, and as it prints where JSON has no word for it."""
    return json.dumps(value, ensure_ascii=False, default=str)
