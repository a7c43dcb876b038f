"""Parts of a conversation that a chat template leaves out without a word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunewright.models.chat.template import ChatTemplate, RefusedRowError

if TYPE_CHECKING:
    from tunewright.data.chat.rows import ChatRow, Message

OTHER = "_other"
"""Put behind a name to see whether the name is written at all."""
SOMETIMES_DROPPED = ("system", "tool")
"""Roles that templates are known to pass over; what others say is looked for in the text first, which is faster."""


def dropped_parts(row: ChatRow, template: ChatTemplate | None) -> Iterator[RefusedRowError]:
    """Give the parts of a conversation that could be others and the template would render the same.

    Each part is rendered once more without its content, or under another name; leaving a whole message out instead
    would break the order of roles that many templates insist on.

    Raises:
        RefusedRowError: When the template refuses the row as it is.
    """
    if template is None or not (row.messages or row.chosen):
        return
    for answer in (row.chosen, row.rejected) if row.kind == "preference" else (row.chosen,):
        messages = (*row.messages, *answer)
        whole = template.render(messages, row.tools).text
        for at, message in enumerate(messages):
            for what, other in _variants(message, whole):
                if _renders_as(template, (*messages[:at], other, *messages[at + 1 :]), row.tools, whole):
                    yield _drops(what)
        renamed = [_renamed(tool) for tool in row.tools]
        if row.tools and _renders_as(template, messages, renamed, whole):
            yield _drops("the descriptions of tools")


def _variants(message: Message, whole: str) -> Iterator[tuple[str, Message]]:
    """Give a message with one part changed, and what that part is called."""
    said = message.content.strip()
    if said and (message.role in SOMETIMES_DROPPED or said not in whole):
        beside = " beside tool calls" if message.tool_calls else ""
        what = f"what messages of the role '{message.role}' say{beside}"
        yield what, message.model_copy(update={"content": ""})
    if message.tool_calls:
        renamed = tuple(call.model_copy(update={"name": call.name + OTHER}) for call in message.tool_calls)
        yield "the assistant's tool calls", message.model_copy(update={"tool_calls": renamed})
    if any(call.arguments for call in message.tool_calls):
        bare = tuple(call.model_copy(update={"arguments": {}}) for call in message.tool_calls)
        yield "the arguments of tool calls", message.model_copy(update={"tool_calls": bare})


def _renamed(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a tool's description under another name."""
    inner = tool.get("function")
    if isinstance(inner, dict):
        return {**tool, "function": {**inner, "name": f"{inner.get('name', '')}{OTHER}"}}
    return {**tool, "name": f"{tool.get('name', '')}{OTHER}"}


def _renders_as(
    template: ChatTemplate, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], whole: str
) -> bool:
    """Tell whether messages render as the whole row did; a template that refuses them saw a difference."""
    try:
        return template.render(messages, tools).text == whole
    except RefusedRowError:
        return False


def _drops(what: str) -> RefusedRowError:
    return RefusedRowError(
        "role_dropped",
        f"the template drops {what}",
        mend=f"give a template that writes {what} (--template FILE), or take that out of the rows",
    )
