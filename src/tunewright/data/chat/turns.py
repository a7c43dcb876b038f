"""One turn of a conversation, as OpenAI's chat format and as ShareGPT write it; and the tools a row describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from tunewright.data.chat.fields import (
    Fields,
    as_list,
    as_text,
    check_sound,
    filled,
    from_json,
    kind_of,
    known_name,
    short,
)
from tunewright.data.chat.refusals import RowError
from tunewright.data.chat.rows import Message, Role, ToolCall

Dialect = Literal["openai", "sharegpt"]
Placed = tuple[str, Message]
"""A turn with the place in the row that it was read from."""

OPENAI_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
"""``developer`` is OpenAI's newer name of the system's role, ``function`` the older one of the tool's."""
SHAREGPT_ROLES: Mapping[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
}
CALL = "function_call"


def turns(value: object, place: str, unused: set[str], dialect: Dialect | None = None) -> list[Placed]:
    """Read a list of turns.

    Args:
        value: The list, or JSON text of it.
        place: Where it stands in its row.
        unused: Takes the names of fields that are not used.
        dialect: How turns are written; by default what the first one looks like.

    Raises:
        RowError: When one is no turn of the dialect.
    """
    found = as_list(value, place)
    if dialect is None:
        dialect = dialect_of(found) or "openai"
    read = READERS[dialect]
    return [turn(each, f"{place}[{number}]", unused, read) for number, each in enumerate(found)]


def turn(value: object, place: str, unused: set[str], read: Callable[[Fields], Message]) -> Placed:
    """Read one turn.

    Raises:
        RowError: When it is none.
    """
    fields = Fields(value, place, unused)
    message = read(fields)
    fields.leave()
    return place, message


def dialect_of(value: Sequence[object]) -> Dialect | None:
    """Tell from the fields of the first turn how turns are written; nothing when it is no turn."""
    first = value[0] if value else None
    if not isinstance(first, Mapping):
        return None
    return next((name for name, keys in TURN_FIELDS.items() if keys <= first.keys()), None)


def openai_turn(fields: Fields) -> Message:
    """Read a message of OpenAI's chat format.

    Raises:
        RowError: When its role, content, calls or weight are not what they should be.
    """
    place = fields.path("role")
    role = OPENAI_ROLES[known_name(as_text(fields.need("role"), place), OPENAI_ROLES, place)]
    calls = _calls(fields)
    if calls and role != "assistant":
        raise RowError(
            "call_by_other_role", f"'{fields.place}' is of role '{role}', and only the assistant calls tools"
        )
    content = _content(fields)
    if not content.strip() and not calls and role != "tool":
        fields.need("content")
        filled(content, fields.path("content"))
    return Message(
        role=role,
        content=content,
        tool_calls=calls,
        name=fields.text_or_nothing("name") or None,
        tool_call_id=fields.text_or_nothing("tool_call_id") or None,
        trained=_weight(fields, role),
    )


def sharegpt_turn(fields: Fields) -> Message:
    """Read a turn of a ShareGPT conversation; a ``function_call`` holds one call or a list of them as JSON text.

    Raises:
        RowError: When its speaker, its value or its weight are not what they should be.
    """
    place = fields.path("from")
    speaker = known_name(as_text(fields.need("from"), place), SHAREGPT_ROLES, place)
    role, place = SHAREGPT_ROLES[speaker], fields.path("value")
    if speaker == CALL:
        value = fields.need("value")
        found = from_json(filled(value, place), place) if isinstance(value, str) else value
        several = found if isinstance(found, list) else [found]
        if not several:
            raise RowError("empty_content", f"the field '{place}' is a list without a call")
        calls = tuple(
            _call(Fields(each, f"{place}[{number}]" if isinstance(found, list) else place, fields.unused))
            for number, each in enumerate(several)
        )
        return Message(role=role, tool_calls=calls, trained=_weight(fields, role))
    content = as_text(fields.need("value"), place)
    if role != "tool":
        filled(content, place)
    return Message(role=role, content=content, trained=_weight(fields, role))


def tools_of(fields: Fields) -> tuple[dict[str, Any], ...]:
    """Read the column ``tools``: descriptions of functions, with or without OpenAI's wrapping, which they then have.

    Raises:
        RowError: When one is no description of a function.
    """
    place = fields.path("tools")
    found = []
    for number, value in enumerate(fields.items_or_nothing("tools")):
        where = f"{place}[{number}]"
        each = from_json(value, where) if isinstance(value, str) else value
        tool = Fields(each, where)
        if tool.has("function"):
            Fields(tool.take("function"), f"{where}.function").text("name")
        else:
            tool.text("name")
        check_sound(each, where, finite=True)
        described = dict(each) if isinstance(each, Mapping) else {}
        found.append(described if tool.has("function") else {"type": "function", "function": described})
    return tuple(found)


def _content(fields: Fields) -> str:
    """Return what a message says; of parts, their texts one after another."""
    value, place = fields.take("content"), fields.path("content")
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, list | tuple):
        raise RowError("wrong_type", f"the field '{place}' is {kind_of(value)} where text is expected")
    texts = []
    for number, part in enumerate(value):
        each = Fields(part, f"{place}[{number}]", fields.unused)
        kind = as_text(each.need("type"), each.path("type"))
        if kind != "text":
            raise RowError(
                "unsupported_content",
                f"the field '{each.path('type')}' is {short(kind)}, and only text is read",
            )
        texts.append(as_text(each.need("text"), each.path("text")))
        each.leave()
    return "".join(texts)


def _calls(fields: Fields) -> tuple[ToolCall, ...]:
    """Return the tools that a message calls, in the present form or the older one of a single function."""
    found = []
    for number, value in enumerate(fields.items_or_nothing("tool_calls")):
        outer = Fields(value, f"{fields.path('tool_calls')}[{number}]", fields.unused)
        outer.take("type")
        inner = outer
        if outer.has("function"):
            inner = Fields(outer.take("function"), outer.path("function"), fields.unused)
        found.append(_call(inner, outer.text_or_nothing("id") or None))
        outer.leave()
    older = fields.take(CALL)
    if older is not None:
        found.append(_call(Fields(older, fields.path(CALL), fields.unused)))
    return tuple(found)


def _call(fields: Fields, call_id: str | None = None) -> ToolCall:
    """Return one call: the name of a function and an object of arguments, or JSON text of one."""
    name, place = fields.text("name"), fields.path("arguments")
    value = fields.take("arguments")
    if isinstance(value, str):
        value = from_json(value, place) if value.strip() else None
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        raise RowError(
            "arguments_not_object", f"the field '{place}' is {kind_of(value)} where an object is expected"
        )
    check_sound(value, place, finite=True)
    fields.leave()
    return ToolCall(name=name, arguments=dict(value), id=call_id)


def _weight(fields: Fields, role: Role) -> bool:
    """Tell whether a turn is trained on: ``weight`` is 1 or 0, and of the assistant alone."""
    value = fields.take("weight")
    if value is None:
        return True
    if isinstance(value, bool) or value not in (0, 1):
        raise RowError(
            "bad_weight", f"the field '{fields.path('weight')}' is {short(value)} where 0 or 1 is expected"
        )
    if role != "assistant" and value == 1:
        raise RowError(
            "bad_weight", f"'{fields.place}' is of role '{role}', and only the assistant's turns are trained"
        )
    return value == 1


READERS: Mapping[Dialect, Callable[[Fields], Message]] = {"openai": openai_turn, "sharegpt": sharegpt_turn}
TURN_FIELDS: Mapping[Dialect, frozenset[str]] = {
    "openai": frozenset({"role"}),
    "sharegpt": frozenset({"from"}),
}
"""Fields that tell the dialects apart; a call may lack the others."""
