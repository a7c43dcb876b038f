"""Conversations: OpenAI's messages, and ShareGPT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunewright.data.chat.columns import TURN_COLUMNS, Row, turn_column
from tunewright.data.chat.refusals import RowError
from tunewright.data.chat.rows import ChatRow, Message
from tunewright.data.chat.sequences import conversation
from tunewright.data.chat.turns import Dialect, Placed, tools_of, turns

if TYPE_CHECKING:
    from tunewright.data.chat.fields import Fields


def messages_columns(row: Row) -> frozenset[str]:
    """Tell whether a row holds OpenAI's messages."""
    name = turn_column(row, "openai")
    return frozenset({name}) if name else frozenset()


def sharegpt_columns(row: Row) -> frozenset[str]:
    """Tell whether a row holds a ShareGPT conversation."""
    name = turn_column(row, "sharegpt")
    return frozenset({name}) if name else frozenset()


def messages_rows(fields: Fields) -> tuple[ChatRow, ...]:
    """Read ``messages``: each turn has ``role`` and ``content``, perhaps ``tool_calls``, ``name`` and ``weight``.

    Raises:
        RowError: When the row is none.
    """
    return _rows(fields, "openai", "messages")


def sharegpt_rows(fields: Fields) -> tuple[ChatRow, ...]:
    """Read ``conversations``: each turn has ``from`` and ``value``; human and gpt take turns.

    Raises:
        RowError: When the row is none.
    """
    return _rows(fields, "sharegpt", "conversations")


def with_system(found: Sequence[Placed], system: str) -> list[Placed]:
    """Put what the column ``system`` holds before the turns.

    Raises:
        RowError: When the turns begin with such a turn themselves.
    """
    if not system:
        return list(found)
    if found and found[0][1].role == "system":
        raise RowError(
            "system_not_first", f"'{found[0][0]}' is of role 'system', and the field 'system' is filled too"
        )
    return [("system", Message(role="system", content=system)), *found]


def _rows(fields: Fields, dialect: Dialect, usual: str) -> tuple[ChatRow, ...]:
    name = fields.first_of(*TURN_COLUMNS) or usual
    found = turns(fields.need(name), name, fields.unused, dialect)
    tools = tools_of(fields)
    placed = with_system(found, fields.text_or_nothing("system"))
    messages = conversation(placed, place=name, tools=tools, alternating=dialect == "sharegpt")
    return (ChatRow(kind="conversation", messages=messages, tools=tools),)
