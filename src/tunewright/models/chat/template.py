"""Rendering a conversation with a chat template: the text, and where the template says the assistant speaks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.data.chat.rows import Message

Span = tuple[int, int]
"""First character and the one behind the last."""
Reason = Literal[
    "no_template",
    "template_error",
    "no_supervised_token",
    "stop_never_trained",
    "double_bos",
    "unsound_mask",
    "role_dropped",
    "special_tokens",
    "lost_text",
    "unknown_tokens",
    "truncation",
]
"""Why rows are refused."""
MARKERS = re.compile(r"\{%-?\s*generation\s*-?%\}")
GUIDE = "docs/loss-mask.md shows how"
_LONGEST_FACT = 200


class RefusedRowError(InputError):
    """A row from which nothing sound could be learned."""

    def __init__(self, reason: Reason, fact: str, *, place: str = "", mend: str = "") -> None:
        super().__init__(fact, place=place, mend=mend)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as the model reads it."""

    text: str
    blocks: tuple[Span, ...]
    """What stands between the template's generation markers, in order."""


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A chat template with the special tokens that it may write."""

    source: str | Mapping[str, str]
    """Jinja; several by name where a tokenizer has one for tools besides the ``default``."""
    special_tokens: Mapping[str, str]
    """Such as ``bos_token``, as the template's variables."""

    def source_for(self, *, tools: bool) -> str:
        """Return the template for conversations with or without tools.

        Raises:
            RefusedRowError: When there are several and none is the default.
        """
        if isinstance(self.source, str):
            return self.source
        for name in ("tool_use", "default") if tools else ("default",):
            if name in self.source:
                return self.source[name]
        raise RefusedRowError(
            "no_template",
            f"the tokenizer has the chat templates {', '.join(sorted(self.source))} and no default",
            mend="name a file with the one to use (--template FILE)",
        )

    def has_markers(self, *, tools: bool = False) -> bool:
        """Tell whether the template marks what the assistant says with ``{% generation %}``."""
        return MARKERS.search(self.source_for(tools=tools)) is not None

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] = (),
        *,
        generation_prompt: bool = False,
    ) -> Rendered:
        """Render messages as Transformers does in training and serving (in Jinja's sandbox).

        Args:
            messages: At least one.
            tools: JSON schemas of functions.
            generation_prompt: End with the head of an answer, for the model to go on.

        Raises:
            RefusedRowError: When the template can't be read, or refuses the conversation.
        """
        from jinja2 import TemplateError
        from transformers.utils import chat_template_utils

        source = self.source_for(tools=bool(tools))
        render: Any = chat_template_utils.render_jinja_template
        try:
            texts, blocks = render(
                conversations=[[as_mapping(message) for message in messages]],
                tools=[dict(tool) for tool in tools] or None,
                chat_template=source,
                return_assistant_tokens_mask=MARKERS.search(source) is not None,
                add_generation_prompt=generation_prompt,
                **self.special_tokens,
            )
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            said = " ".join(str(error).split())[:_LONGEST_FACT] or type(error).__name__
            raise RefusedRowError(
                "template_error",
                f"the chat template refuses the conversation ({said})",
                mend="change the row, or give another template (--template FILE)",
            ) from error
        return Rendered(texts[0], tuple((start, end) for start, end in blocks[0]) if blocks else ())


def as_mapping(message: Message) -> dict[str, Any]:
    """Return a message the way chat templates expect it; fields that it doesn't have are left out."""
    found: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        found["tool_calls"] = [
            {
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
                **({"id": call.id} if call.id is not None else {}),
            }
            for call in message.tool_calls
        ]
    for name in ("name", "tool_call_id"):
        if (value := getattr(message, name)) is not None:
            found[name] = value
    return found
