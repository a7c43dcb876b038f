"""Text outside conversations: prompt and completion, and plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.data.chat.columns import Row, dialect_in, texts
from tunewright.data.chat.refusals import RowError
from tunewright.data.chat.rows import ChatRow, Message
from tunewright.data.chat.sequences import conversation
from tunewright.data.chat.turns import Placed, tools_of, turns

if TYPE_CHECKING:
    from tunewright.data.chat.fields import Fields

UNTRAINED = {"trained": False}


def completion_columns(row: Row) -> frozenset[str]:
    """Tell whether a row is a prompt with its completion, both as text or both as turns."""
    if texts(row, "prompt", "completion") or all(
        dialect_in(row.get(name)) for name in ("prompt", "completion")
    ):
        return frozenset({"prompt", "completion"})
    return frozenset()


def completion_rows(fields: Fields) -> tuple[ChatRow, ...]:
    """Read ``prompt`` and ``completion``: as text they stay outside any template, as turns they are a conversation.

    Loss is on the completion alone.

    Raises:
        RowError: When the row is none.
    """
    prompt, completion = fields.need("prompt"), fields.need("completion")
    if dialect_in(prompt) is None and dialect_in(completion) is None:
        return (
            ChatRow(kind="completion", prompt=fields.text("prompt"), completion=fields.text("completion")),
        )
    before = turns(prompt, "prompt", fields.unused)
    after = turns(completion, "completion", fields.unused)
    _check_sides(before, after)
    tools = tools_of(fields)
    conversation([*before, *after], place="completion", tools=tools)
    messages = (
        *(
            message.model_copy(update=UNTRAINED) if message.role == "assistant" else message
            for _, message in before
        ),
        *(message for _, message in after),
    )
    _check_trained(messages)
    return (ChatRow(kind="conversation", messages=messages, tools=tools),)


def text_columns(row: Row) -> frozenset[str]:
    """Tell whether a row is plain text."""
    return texts(row, "text")


def text_rows(fields: Fields) -> tuple[ChatRow, ...]:
    """Read ``text``.

    Raises:
        RowError: When there is none.
    """
    return (ChatRow(kind="text", text=fields.text("text")),)


def _check_sides(before: list[Placed], after: list[Placed]) -> None:
    if not before:
        raise RowError("empty_content", "the field 'prompt' is empty")
    if not after or after[0][1].role != "assistant":
        raise RowError("no_answer", "the field 'completion' doesn't begin with a turn of the assistant")


def _check_trained(messages: tuple[Message, ...]) -> None:
    if not any(message.role == "assistant" and message.trained for message in messages):
        raise RowError("nothing_trained", "every turn of the assistant in 'completion' has weight 0")
