"""The formats that rows come in: each tells whether it fits a row, and makes it one or more internal rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.data.chat import conversations, instructions, plain, preferences
from tunewright.data.chat.fields import Fields, check_sound
from tunewright.data.chat.refusals import Refused, RowError
from tunewright.support.errors import InputError, nearest

if TYPE_CHECKING:
    from tunewright.data.chat.columns import Row
    from tunewright.data.chat.rows import ChatRow


@dataclass(frozen=True, slots=True)
class Converted:
    """What one row of a source became."""

    rows: tuple[ChatRow, ...]
    """One, or one an instance where a row holds several."""
    unused: frozenset[str] = frozenset()
    """Fields of the source that the rows don't hold."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format of rows."""

    name: str
    columns: Callable[[Row], frozenset[str]]
    """Which columns of a row the format accounts for; none where it doesn't fit."""
    rows: Callable[[Fields], tuple[ChatRow, ...]]
    """Makes internal rows, or raises ``RowError``."""

    def convert(
        self, value: object, *, row: int = 0, source: str = "", strict: bool = False
    ) -> Converted | Refused:
        """Make internal rows of one row of a source.

        Args:
            value: The row: an object.
            row: Its number, which the internal rows keep.
            source: The file it is from, likewise.
            strict: Whether a field that the format doesn't know refuses the row.
        """
        unused: set[str] = set()
        try:
            check_sound(value)
            fields = Fields(value, unused=unused)
            made = self.rows(fields)
            fields.leave()
            if strict and unused:
                raise RowError(
                    "unknown_field", f"the field '{min(unused)}' is not one of the format {self.name}"
                )
        except RowError as error:
            return Refused(error.reason, error.detail)
        kept = tuple(each.model_copy(update={"row": row, "source": source}) for each in made)
        return Converted(kept, frozenset(unused))


FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (
        Format("messages", conversations.messages_columns, conversations.messages_rows),
        Format("sharegpt", conversations.sharegpt_columns, conversations.sharegpt_rows),
        Format("alpaca", instructions.alpaca_columns, instructions.alpaca_rows),
        Format("self-instruct", instructions.task_columns, instructions.task_rows),
        Format("question-answer", instructions.question_columns, instructions.question_rows),
        Format("prompt-completion", plain.completion_columns, plain.completion_rows),
        Format("text", plain.text_columns, plain.text_rows),
        Format("preference", preferences.preference_columns, preferences.preference_rows),
        Format("kto", preferences.rated_columns, preferences.rated_rows),
    )
}
"""Name to format."""


def format_named(name: str, *, option: str = "--from {}") -> Format:
    """Return a format by its name.

    Args:
        name: The name.
        option: Where the user gave it, for messages; ``{}`` stands for a name.

    Raises:
        InputError: When there is none of that name; the nearest is named.
    """
    if name not in FORMATS:
        raise InputError(
            f"there is no format '{name}'",
            place=option.format("").strip(" ="),
            mend=nearest(name, list(FORMATS)) or f"give one of {', '.join(FORMATS)}",
        )
    return FORMATS[name]
