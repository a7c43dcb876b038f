"""Parts of a conversation that a chat template leaves out without a word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tunewright.models.chat.template import ChatTemplate, RefusedRowError

if TYPE_CHECKING:
    from tunewright.data.chat.rows import ChatRow, Message


def dropped_parts(row: ChatRow, template: ChatTemplate | None) -> Iterator[RefusedRowError]:
    """Give the parts of a conversation that leave no trace in what the template renders."""
    answers = [each for each in (row.chosen, row.rejected) if each] or [()]
    if template is None or not (row.messages or row.chosen):
        return
    for answer in answers:
        messages = (*row.messages, *answer)
        whole = template.render(messages, row.tools).text
        for at, message in enumerate(messages):
            without: dict[str, Message] = {}
            if message.role in ("system", "tool") and message.content.strip():
                what = f"messages of the role '{message.role}'"
                without[what] = message.model_copy(update={"content": ""})
            if message.tool_calls:
                without["the assistant's tool calls"] = message.model_copy(update={"tool_calls": ()})
            for what, other in without.items():
                if _renders_as(template, (*messages[:at], other, *messages[at + 1 :]), row, whole):
                    yield _drops(what)
        if row.tools and _renders_as(template, messages, row.model_copy(update={"tools": ()}), whole):
            yield _drops("the descriptions of tools")


def _renders_as(template: ChatTemplate, messages: tuple[Message, ...], row: ChatRow, whole: str) -> bool:
    """Tell whether messages render as the whole row did; a template that refuses them saw a difference."""
    try:
        return template.render(messages, row.tools).text == whole
    except RefusedRowError:
        return False


def _drops(what: str) -> RefusedRowError:
    return RefusedRowError(
        "role_dropped",
        f"the template drops {what}: what it renders is the same without",
        mend=f"give a template that writes {what} (--template FILE), or take them out of the rows",
    )
