"""Internal rows as the rows of a format; what the format has no place for refuses the row, and is never dropped.

Messages, preferences and ratings have the columns that TRL documents; Alpaca and ShareGPT those of LLaMA-Factory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tunewright.data.chat.refusals import RowError
from tunewright.data.chat.rows import ChatRow, Message
from tunewright.data.chat.sequences import conversation
from tunewright.data.chat.turns import CALL

Made = dict[str, Any]
SPEAKERS = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}


def as_messages(row: ChatRow) -> list[Made]:
    """Write ``messages`` in OpenAI's form, arguments as objects, and ``tools``.

    Raises:
        RowError: When the row is no conversation.
    """
    return [{"messages": [_message(each) for each in _conversation(row)], **_tools(row)}]


def as_sharegpt(row: ChatRow) -> list[Made]:
    """Write ``conversations``, and ``tools`` as JSON text.

    Which call a tool answers is told by the order, so ids go where the order says the same.

    Raises:
        RowError: When user and assistant don't take turns, or a turn has what ShareGPT has no place for.
    """
    messages = _conversation(row)
    placed = [(f"messages[{number}]", message) for number, message in enumerate(messages)]
    conversation(placed, place="messages", alternating=True)
    _check_trained(messages, "ShareGPT")
    _check_links(messages)
    tools = (
        {"tools": json.dumps([_bare(tool) for tool in row.tools], ensure_ascii=False)} if row.tools else {}
    )
    return [{"conversations": [_said(where, message) for where, message in placed], **tools}]


def as_alpaca(row: ChatRow) -> list[Made]:
    """Write ``instruction``, ``input`` (empty) and ``output``, with ``system`` and ``history`` where there are some.

    Raises:
        RowError: When the row has tools, or is not made of questions and answers.
    """
    messages = _conversation(row)
    _check_plain(row, messages, "Alpaca")
    _check_trained(messages, "Alpaca")
    system, exchanges = _exchanges(messages)
    *earlier, (question, answer) = exchanges
    made: Made = {"instruction": question, "input": "", "output": answer}
    if system:
        made["system"] = system
    if earlier:
        made["history"] = [list(pair) for pair in earlier]
    return [made]


def as_completion(row: ChatRow) -> list[Made]:
    """Write ``prompt`` and ``completion`` as text.

    Raises:
        RowError: When the row has more than one question and its answer.
    """
    if row.kind == "completion":
        return [{"prompt": row.prompt, "completion": row.completion}]
    messages = _conversation(row)
    _check_plain(row, messages, "prompt and completion")
    _check_trained(messages, "prompt and completion")
    system, exchanges = _exchanges(messages)
    if system:
        raise RowError("loses_system", "prompt and completion have no place for a system prompt")
    if len(exchanges) > 1:
        raise RowError("loses_turns", f"prompt and completion have no place for {len(messages)} turns")
    return [{"prompt": exchanges[0][0], "completion": exchanges[0][1]}]


def as_text(row: ChatRow) -> list[Made]:
    """Write ``text``.

    Raises:
        RowError: When the row is anything but plain text: what it says in which order depends on a model's template.
    """
    if row.kind != "text":
        raise RowError(
            "not_plain_text", f"a row of kind '{row.kind}' becomes text only by a model's chat template"
        )
    return [{"text": row.text}]


def as_preference(row: ChatRow) -> list[Made]:
    """Write ``prompt``, ``chosen`` and ``rejected`` as messages.

    Raises:
        RowError: When the row holds no two answers.
    """
    if row.kind != "preference":
        raise RowError("not_a_preference", f"a row of kind '{row.kind}' has no chosen and rejected answer")
    parts = {"prompt": row.messages, "chosen": row.chosen, "rejected": row.rejected}
    return [{**{name: [_message(each) for each in part] for name, part in parts.items()}, **_tools(row)}]


def as_rated(row: ChatRow) -> list[Made]:
    """Write ``prompt`` and ``completion`` as messages, and ``label``; a preference gives a good and a bad row.

    Raises:
        RowError: When the row's answer is not rated.
    """
    if row.kind == "rated":
        answers: list[tuple[Sequence[Message], bool | None]] = [(row.chosen, row.good)]
    elif row.kind == "preference":
        answers = [(row.chosen, True), (row.rejected, False)]
    else:
        raise RowError("not_rated", f"a row of kind '{row.kind}' has no rating")
    prompt = [_message(each) for each in row.messages]
    return [
        {"prompt": prompt, "completion": [_message(each) for each in answer], "label": good, **_tools(row)}
        for answer, good in answers
    ]


WRITERS: Mapping[str, Callable[[ChatRow], list[Made]]] = {
    "messages": as_messages,
    "alpaca": as_alpaca,
    "sharegpt": as_sharegpt,
    "prompt-completion": as_completion,
    "text": as_text,
    "preference": as_preference,
    "kto": as_rated,
}
"""Target to what makes its rows."""


def with_system(row: ChatRow, system: str) -> ChatRow:
    """Put a system prompt before a row that has none.

    Raises:
        RowError: When the row is text, which has no place for it.
    """
    if row.kind == "text":
        raise RowError("no_place_for_system", "plain text has no place for a system prompt")
    if row.kind == "completion":
        turns = {"kind": "conversation", "messages": _exchange(row), "prompt": "", "completion": ""}
        row = row.model_copy(update=turns)
    if row.messages and row.messages[0].role == "system":
        return row
    return row.model_copy(update={"messages": (Message(role="system", content=system), *row.messages)})


def _conversation(row: ChatRow) -> tuple[Message, ...]:
    """Return the turns of a row that is, or can be, a conversation."""
    if row.kind == "conversation":
        return row.messages
    if row.kind == "completion":
        return _exchange(row)
    if row.kind == "text":
        raise RowError("no_turns", "plain text has no turns")
    if row.kind == "preference":
        raise RowError("loses_answer", "a conversation has one answer, and the row has a rejected one too")
    raise RowError("loses_label", "a conversation has no place for the rating of its answer")


def _exchange(row: ChatRow) -> tuple[Message, ...]:
    """Return a prompt and its completion as turns."""
    return (Message(role="user", content=row.prompt), Message(role="assistant", content=row.completion))


def _message(message: Message) -> Made:
    """Write one turn in OpenAI's form; what it doesn't have is left out."""
    made: Made = {"role": message.role, "content": message.content}
    if message.tool_calls:
        made["tool_calls"] = [
            {
                **({"id": call.id} if call.id else {}),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.name:
        made["name"] = message.name
    if message.tool_call_id:
        made["tool_call_id"] = message.tool_call_id
    if message.role == "assistant" and not message.trained:
        made["weight"] = 0
    return made


def _said(where: str, message: Message) -> Made:
    """Write one turn in ShareGPT's form."""
    if not message.tool_calls:
        return {"from": SPEAKERS[message.role], "value": message.content}
    if message.content.strip():
        raise RowError(
            "loses_turns", f"'{where}' both speaks and calls a tool, and a turn of ShareGPT does one of them"
        )
    calls = [{"name": call.name, "arguments": call.arguments} for call in message.tool_calls]
    return {"from": CALL, "value": json.dumps(calls if len(calls) > 1 else calls[0], ensure_ascii=False)}


def _tools(row: ChatRow) -> Made:
    return {"tools": [dict(tool) for tool in row.tools]} if row.tools else {}


def _bare(tool: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a JSON schema
    """Return the description of a function without OpenAI's wrapping, where that says nothing more."""
    return tool["function"] if tool.keys() == {"type", "function"} and tool["type"] == "function" else tool


def _check_links(messages: Sequence[Message]) -> None:
    """Refuse names, and answers of tools in another order than their calls."""
    waiting: list[tuple[str | None, str]] = []
    for number, message in enumerate(messages):
        if message.role != "tool":
            waiting = [(call.id, call.name) for call in message.tool_calls]
            if message.name:
                raise RowError("loses_names", f"'messages[{number}].name' has no place in ShareGPT")
            continue
        call_id, name = waiting.pop(0)
        if message.tool_call_id not in {None, call_id} or message.name not in {None, name}:
            raise RowError(
                "loses_names", f"'messages[{number}]' answers a call out of order, which ShareGPT can't say"
            )


def _check_trained(messages: Sequence[Message], target: str) -> None:
    for number, message in enumerate(messages):
        if message.role == "assistant" and not message.trained:
            raise RowError(
                "loses_weight", f"'messages[{number}]' has weight 0, for which {target} has no place"
            )


def _check_plain(row: ChatRow, messages: Sequence[Message], target: str) -> None:
    """Refuse tools and names."""
    if row.tools or any(message.tool_calls or message.role == "tool" for message in messages):
        raise RowError("loses_tools", f"the row has tools, for which {target} has no place")
    for number, message in enumerate(messages):
        if message.name:
            raise RowError("loses_names", f"'messages[{number}].name' has no place in {target}")


def _exchanges(messages: Sequence[Message]) -> tuple[str, list[tuple[str, str]]]:
    """Return the system prompt and the pairs of question and answer."""
    system, rest = ("", messages) if messages[0].role != "system" else (messages[0].content, messages[1:])
    conversation(
        [(f"turn {number + 1}", each) for number, each in enumerate(rest)], place="messages", alternating=True
    )
    return system, list(_pairs(rest))


def _pairs(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    for question, answer in zip(messages[::2], messages[1::2], strict=True):
        yield question.content, answer.content
