"""Rows of a JSON or JSON Lines file with the columns that TRL documents, as the one internal row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tunewright.data.chat.rows import ChatRow, Message, ToolCall
from tunewright.support.errors import InputError

COLUMNS = "messages[, tools] | prompt, completion | text | prompt, chosen, rejected"


def read_rows(path: Path) -> Iterator[ChatRow]:
    """Give the rows of a file, numbered from 1.

    Raises:
        InputError: When the file can't be read, is empty, or a row has other columns or values.
    """
    number = 0
    for number, value in enumerate(_values(path), start=1):
        place = f"{path}, row {number}"
        if not isinstance(value, dict):
            raise InputError("is no object", place=place, mend=f"give it the columns {COLUMNS}")
        try:
            yield ChatRow(row=number, source=str(path), **_fields(value))
        except (ValidationError, TypeError, KeyError, ValueError) as error:
            raise InputError(_fact(error), place=place, mend=f"give it the columns {COLUMNS}") from error
    if not number:
        raise InputError("has no rows", place=str(path), mend="check the file")


def _values(path: Path) -> Iterator[Any]:
    """Give the values of a JSON array, or of each line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        fact = getattr(error, "strerror", None) or str(error)
        raise InputError(f"can't be read ({fact})", place=str(path), mend="check the file's name") from error
    try:
        if text.lstrip().startswith("["):
            yield from json.loads(text)
            return
    except ValueError as error:
        raise InputError(f"is no JSON ({error})", place=str(path), mend="write the file again") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise InputError(
                    f"is no JSON ({error})", place=f"{path}, line {number}", mend="write one object a line"
                ) from error


def _fields(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the internal row's fields for a row's columns."""
    tools = value.get("tools") or ()
    tools = tuple(json.loads(tools) if isinstance(tools, str) else tools)
    if "messages" in value:
        return {"kind": "conversation", "messages": _messages(value["messages"]), "tools": tools}
    if "chosen" in value and "rejected" in value:
        return {
            "kind": "preference",
            "messages": _messages(value.get("prompt") or (), role="user"),
            "chosen": _messages(value["chosen"], role="assistant"),
            "rejected": _messages(value["rejected"], role="assistant"),
            "tools": tools,
        }
    if "prompt" in value and "completion" in value:
        prompt, completion = value["prompt"], value["completion"]
        if isinstance(prompt, str):
            return {"kind": "completion", "prompt": prompt, "completion": completion}
        before = tuple(each.model_copy(update={"trained": False}) for each in _messages(prompt))
        return {"kind": "conversation", "messages": (*before, *_messages(completion)), "tools": tools}
    if "text" in value:
        return {"kind": "text", "text": value["text"]}
    raise ValueError(f"has the columns {', '.join(value) or 'of nothing'}")


def _messages(value: Any, *, role: str | None = None) -> tuple[Message, ...]:  # noqa: ANN401
    """Return messages; plain text is one message of ``role``."""
    if isinstance(value, str) and role:
        return (Message(role=role, content=value),)
    if not isinstance(value, list | tuple):
        raise TypeError("messages must be a list of objects with role and content")
    return tuple(_message(each) for each in value)


def _message(value: Any) -> Message:  # noqa: ANN401
    """Return one message."""
    if not isinstance(value, dict):
        raise TypeError("a message must be an object with role and content")
    known = {name: found for name, found in value.items() if found is not None and name != "tool_calls"}
    calls = tuple(_call(each) for each in value.get("tool_calls") or ())
    return Message(**known, tool_calls=calls)


def _call(value: Mapping[str, Any]) -> ToolCall:
    """Return one tool call, from the form of chat APIs or a plain one."""
    function = value.get("function", value)
    arguments = function.get("arguments") or {}
    arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    return ToolCall(name=function["name"], arguments=arguments, id=value.get("id"))


def _fact(error: Exception) -> str:
    """Say in a clause what is wrong with a row."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return f"lacks {error}" if isinstance(error, KeyError) else str(error)
