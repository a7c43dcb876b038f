"""What a request wants written, so that each version can be asked it through its own template and tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tunewright.data.chat.rows import Message
from tunewright.models.language.prompts import Prompt
from tunewright.serving.faults import ServingError

if TYPE_CHECKING:
    from tunewright.engines.interface import Sampling
    from tunewright.engines.language_side import LanguageSide

PromptAsked: TypeAlias = tuple[Message, ...] | str | tuple[int, ...]
"""A conversation, plain text, or token ids."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Prompts, and how they are gone on from."""

    prompts: tuple[PromptAsked, ...]
    sampling: Sampling
    """``max_new_tokens`` as far as the request cares; the model's room and the server's limit hold besides."""
    n: int = 1
    """Answers to each prompt."""
    stops: tuple[str, ...] = ()
    """Words before which an answer ends."""
    streams: bool = False
    strips: bool = True
    """Whether blanks at both ends of an answer are left out, as in the answers that were evaluated."""
    where: str = "messages"
    """The field with the prompts, for errors."""


def render(wanted: Wanted, side: LanguageSide) -> tuple[Prompt, ...]:
    """Render and tokenise prompts.

    Raises:
        RefusedRowError: When the template refuses a conversation, or there is none.
        ServingError: When a token id stands for nothing.
    """
    return tuple(_prompt(each, side, wanted.where) for each in wanted.prompts)


def characters(wanted: Wanted) -> int:
    """Return how much there is to tokenise."""
    return sum(length(prompt) for prompt in wanted.prompts)


def _prompt(asked: PromptAsked, side: LanguageSide, where: str) -> Prompt:
    if isinstance(asked, str):
        return side.plain(asked)
    if isinstance(asked[0], Message):
        return side.conversation(asked)
    return _from_ids(asked, side, where)


def _from_ids(ids: tuple[int, ...], side: LanguageSide, where: str) -> Prompt:
    if not all(0 <= each < side.facts.vocabulary for each in ids):
        raise ServingError(
            f"has a token id outside 0 to {side.facts.vocabulary - 1:,}", param=where, code="invalid_value"
        )
    return Prompt(side.text(ids), ids)


def length(asked: PromptAsked) -> int:
    """Return the characters of a prompt; of token ids, their number."""
    if isinstance(asked, str):
        return len(asked)
    return sum(len(each.content) if isinstance(each, Message) else 1 for each in asked)
