"""What an internal row says, and to what: the texts that cleaning, validation and splitting look at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunewright.data.chat.rows import ChatRow, Message, ToolCall

JOINT = "\n\n"
"""Stands between two turns of a text."""


def text_of(row: ChatRow) -> str:
    """Return all that a row says: its turns, its prompt and its completion, or its text, a blank line between them."""
    return JOINT.join(part for part in _parts(row) if part)


def calls_of(row: ChatRow) -> str:
    """Return the tools that a row calls, with their arguments; empty where it calls none."""
    return "\n".join(call_text(call) for message in messages_of(row) for call in message.tool_calls)


def call_text(call: ToolCall) -> str:
    """Return a call for a person to read."""
    return f"{call.name}({json.dumps(call.arguments, ensure_ascii=False, default=str)})"


def prompt_of(row: ChatRow) -> str:
    """Return what stands before a row's first answer, the system prompt included; empty where nothing does."""
    if row.kind == "completion":
        return row.prompt
    before = []
    for message in row.messages:
        if message.role == "assistant":
            break
        before.append(message.content)
    return JOINT.join(part for part in before if part)


def messages_of(row: ChatRow) -> tuple[Message, ...]:
    """Return every turn of a row, those of both answers included."""
    return (*row.messages, *row.chosen, *row.rejected)


def with_texts(row: ChatRow, change: Callable[[str], str]) -> ChatRow:
    """Return the row with each of its texts changed; calls, names and ids stay as they are."""

    def turns(messages: tuple[Message, ...]) -> tuple[Message, ...]:
        return tuple(each.model_copy(update={"content": change(each.content)}) for each in messages)

    return row.model_copy(
        update={
            "messages": turns(row.messages),
            "chosen": turns(row.chosen),
            "rejected": turns(row.rejected),
            "prompt": change(row.prompt),
            "completion": change(row.completion),
            "text": change(row.text),
        }
    )


def fault_of(row: ChatRow) -> str:
    """Return the reason against a row that cleaning left nothing to learn from, or an empty text."""
    if row.kind == "completion" and not (row.prompt.strip() and row.completion.strip()):
        return "empty_content"
    if any(_is_empty(message) for message in messages_of(row)):
        return "empty_content"
    return "same_answers" if row.kind == "preference" and row.chosen == row.rejected else ""


def _is_empty(message: Message) -> bool:
    """Tell whether a turn says nothing; a tool may, and who calls one needs no words."""
    return not (message.content.strip() or message.tool_calls or message.role == "tool")


def _parts(row: ChatRow) -> Iterator[str]:
    yield from (message.content for message in messages_of(row))
    yield from (row.prompt, row.completion, row.text)
