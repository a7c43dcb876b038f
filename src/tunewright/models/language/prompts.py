"""What a model is asked: the part of a row before the answer, rendered and tokenised as in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.models.chat.template import GUIDE, RefusedRowError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.data.chat.rows import ChatRow, Message
    from tunewright.models.chat.tokenizer import ChatTokenizer


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model reads before it answers."""

    text: str
    ids: tuple[int, ...]


def prompt_of(row: ChatRow, chat: ChatTokenizer) -> Prompt:
    """Return what stands before a row's last answer; of plain text, its opening token alone.

    Raises:
        RefusedRowError: When the tokenizer has no template for a conversation, or the template refuses it.
    """
    if row.kind in {"text", "completion"}:
        return _plain(row.prompt if row.kind == "completion" else "", chat)
    messages = row.messages
    if not row.chosen and messages and messages[-1].role == "assistant":
        messages = messages[:-1]
    return render_prompt(messages, chat, tools=row.tools)


def render_prompt(messages: Sequence[Message], chat: ChatTokenizer, *, tools: Sequence[dict] = ()) -> Prompt:  # type: ignore[type-arg]
    """Render messages with the head of an answer behind them.

    Raises:
        RefusedRowError: When the tokenizer has no template, or the template refuses the messages.
    """
    if chat.template is None:
        raise RefusedRowError(
            "no_template",
            "the tokenizer has no chat template",
            mend=f"give one with --template FILE ({GUIDE})",
        )
    text = chat.template.render(messages, tools, generation_prompt=True).text
    # The template writes the special tokens: the tokenizer must not add them once more.
    ids = chat.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return Prompt(text, tuple(ids))


def _plain(text: str, chat: ChatTokenizer) -> Prompt:
    """Tokenise a prompt outside any template; an end token that the tokenizer puts behind it is taken off."""
    ids = list(chat.tokenizer(text, add_special_tokens=True, verbose=False)["input_ids"])
    if ids and ids[-1] in chat.setup.stop_ids:
        ids.pop()
    if not ids:
        first = chat.setup.bos_id if chat.setup.bos_id is not None else chat.setup.eos_id
        ids = [chat.setup.pad_id if first is None else first]
    return Prompt(text, tuple(ids))
