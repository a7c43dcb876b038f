"""What the columns of a row look like: from this a format tells whether a row is one of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tunewright.data.chat.fields import as_flag
from tunewright.data.chat.turns import Dialect, dialect_of

TURN_COLUMNS = ("messages", "conversations", "conversation")
"""Columns that conversations are kept in, likeliest first."""
LABEL_COLUMNS = ("label", "kto_tag")
PROMPT_COLUMNS = ("prompt", *TURN_COLUMNS, "instruction", "question")
"""Columns that the prompt of a preference is kept in, likeliest first."""

Row = Mapping[str, object]


def texts(row: Row, *names: str) -> frozenset[str]:
    """Return the columns when all of them hold text, else none."""
    return frozenset(names) if all(isinstance(row.get(name), str) for name in names) else frozenset()


def turn_column(row: Row, dialect: Dialect | None = None) -> str | None:
    """Return the column that holds turns, in a dialect or in any."""
    for name in TURN_COLUMNS:
        found = dialect_in(row.get(name))
        if found and dialect in {None, found}:
            return name
    return None


def label_column(row: Row) -> str | None:
    """Return the column that holds a yes or a no."""
    return next((name for name in LABEL_COLUMNS if as_flag(row.get(name)) is not None), None)


def is_answer(value: object) -> bool:
    """Tell whether a value can be an answer: text, one turn or several."""
    return isinstance(value, str) or dialect_in([value]) is not None or dialect_in(value) is not None


def dialect_in(value: object) -> Dialect | None:
    """Return the dialect of a list of turns, or of JSON text of one; nothing where it is none."""
    if isinstance(value, str):
        if not value.lstrip().startswith("["):
            return None
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return dialect_of(value) if isinstance(value, Sequence) and not isinstance(value, str) else None
