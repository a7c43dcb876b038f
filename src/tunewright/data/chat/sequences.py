"""What must hold between the turns of one conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunewright.data.chat.fields import short
from tunewright.data.chat.refusals import RowError

if TYPE_CHECKING:
    from tunewright.data.chat.rows import Message, ToolCall
    from tunewright.data.chat.turns import Placed


def conversation(
    turns: Sequence[Placed],
    *,
    place: str,
    tools: Sequence[Mapping[str, Any]] = (),
    alternating: bool = False,
) -> tuple[Message, ...]:
    """Return the messages of a conversation that can be learned from.

    Args:
        turns: The turns with their places.
        place: The field that holds them.
        tools: The descriptions of the tools; where there are some, no other is called.
        alternating: Whether user and assistant take turns, the user first.

    Raises:
        RowError: When the order is wrong, nothing is learned, or a tool answers without being asked.
    """
    if not any(message.role == "assistant" for _, message in turns):
        raise RowError(
            "no_assistant", f"the field '{place}' has no turn of the assistant, so nothing is learned"
        )
    messages = opening(turns, tools=tools, alternating=alternating)
    where, last = turns[-1]
    if last.role != "assistant":
        raise RowError(
            "ends_without_answer", f"'{where}' is the last turn and of role '{last.role}', not 'assistant'"
        )
    if not any(message.role == "assistant" and message.trained for message in messages):
        raise RowError("nothing_trained", f"every turn of the assistant in '{place}' has weight 0")
    return messages


def opening(
    turns: Sequence[Placed], *, tools: Sequence[Mapping[str, Any]] = (), alternating: bool = False
) -> tuple[Message, ...]:
    """Return the messages of a conversation, or of its beginning, once their order is found right.

    Raises:
        RowError: When it isn't.
    """
    known = {str(tool.get("function", {}).get("name")) for tool in tools}
    waiting: list[ToolCall] = []
    before: Message | None = None
    for number, (where, message) in enumerate(turns):
        if message.role == "system":
            if number:
                raise RowError(
                    "system_not_first", f"'{where}' is of role 'system', which stands first or not at all"
                )
            continue
        if message.role == "tool":
            _answer(message, waiting, where)
        if alternating:
            _check_alternation(before, message, where)
        for call in message.tool_calls:
            if known and call.name not in known:
                raise RowError(
                    "unknown_tool", f"'{where}' calls {short(call.name)}, which 'tools' doesn't describe"
                )
        if message.role != "tool":
            waiting = list(message.tool_calls)
        before = message
    return tuple(message for _, message in turns)


def _check_alternation(before: Message | None, message: Message, where: str) -> None:
    """Refuse two turns of one side in a row; several tools may answer several calls."""
    if before is None:
        if message.role == "assistant":
            raise RowError(
                "starts_with_answer", f"'{where}' is the first turn and of the assistant, not the user"
            )
        return
    asking = ("user", "tool")
    if message.role == before.role == "tool":
        return
    if (message.role in asking) == (before.role in asking):
        raise RowError(
            "repeated_role", f"'{where}' is of role '{message.role}' and follows one of role '{before.role}'"
        )


def _answer(message: Message, waiting: list[ToolCall], where: str) -> None:
    """Take the call that a tool's turn answers off those that wait: by its id, else the first."""
    if not waiting:
        raise RowError(
            "tool_without_call", f"'{where}' is a tool's answer, and no call before it waits for one"
        )
    if message.tool_call_id is None:
        waiting.pop(0)
        return
    ids = [call.id for call in waiting]
    if message.tool_call_id not in ids:
        raise RowError(
            "unknown_call_id",
            f"'{where}.tool_call_id' is {short(message.tool_call_id)}, and no such call waits",
        )
    del waiting[ids.index(message.tool_call_id)]
