"""Where in a rendered conversation the assistant speaks: by the template's markers, or turn by turn."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tunewright.models.chat.template import GUIDE, ChatTemplate, RefusedRowError, Rendered, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.data.chat.rows import ChatRow, Message

Method = Literal["markers", "prefixes", "completion", "everything"]
Remark = Literal["stop_outside_markers", "text_before_answer", "token_across_boundary", "other_prompt"]
"""What is worth knowing about a mask and is no fault."""


@dataclass(frozen=True, slots=True)
class Answers:
    """A rendered conversation, and the characters in it that the assistant says."""

    rendered: Rendered
    spans: tuple[Span, ...]
    """Each answer with the stop token behind it."""
    method: Method
    remarks: frozenset[Remark]


def find_answers(
    template: ChatTemplate,
    row: ChatRow,
    messages: Sequence[Message],
    answers: Sequence[int],
    *,
    stop_tokens: Sequence[str],
) -> Answers:
    """Find what the assistant says in some of its turns, each with its stop token.

    Args:
        template: What renders the messages.
        row: Where they come from, for its tools.
        messages: The whole conversation.
        answers: The turns to find, as positions in ``messages``.
        stop_tokens: Any of them ends a turn.

    Raises:
        RefusedRowError: When that can't be told for sure.
    """
    rendered = template.render(messages, row.tools)
    stops = _stop_patterns(stop_tokens)
    remarks: set[Remark] = set()
    if template.has_markers(tools=bool(row.tools)):
        blocks = _marked(template, rendered, messages, row, answers)
        closed = [_close(rendered.text, block, stops) for block in blocks]
        if closed != blocks:
            remarks.add("stop_outside_markers")
        if len(blocks) == len(answers) and _has_other_prompt(
            template, rendered, messages, row, blocks, answers
        ):
            remarks.add("other_prompt")
        return Answers(rendered, tuple(closed), "markers", frozenset(remarks))
    spans = []
    for at in answers:
        start, end = _between_prefixes(template, rendered, messages, row, at, stops)
        tail = stops.at_end.search(rendered.text, start, end)
        # What follows the stop token, such as a line break, is the template's and never generated.
        end = tail.end(1) if tail else end
        said, content = rendered.text[start:end], messages[at].content.strip()
        if content and content in said and said.partition(content)[0].strip():
            remarks.add("text_before_answer")
        spans.append((start, end))
    return Answers(rendered, tuple(spans), "prefixes", frozenset(remarks))


@dataclass(frozen=True, slots=True)
class _StopPatterns:
    """Where stop tokens stand in a text; their first group is one token."""

    behind: re.Pattern[str]
    """At once, or after white space."""
    at_end: re.Pattern[str]
    """The first of those that end a text, with white space and further ones behind it."""
    last: re.Pattern[str]
    """The last of them, with white space behind it."""


def _stop_patterns(tokens: Sequence[str]) -> _StopPatterns:
    one = "|".join(re.escape(each) for each in sorted(tokens, key=len, reverse=True)) or "(?!)"
    return _StopPatterns(
        behind=re.compile(rf"\s*({one})"),
        at_end=re.compile(rf"({one})(?:\s|{one})*\Z"),
        last=re.compile(rf"({one})\s*\Z"),
    )


def _close(text: str, block: Span, stops: _StopPatterns) -> Span:
    """Return a marked block with the stop token that stands directly behind it, if it doesn't end with one."""
    start, end = block
    behind = None if stops.last.search(text, start, end) else stops.behind.match(text, end)
    return (start, behind.end()) if behind else block


def _marked(
    template: ChatTemplate,
    rendered: Rendered,
    messages: Sequence[Message],
    row: ChatRow,
    answers: Sequence[int],
) -> list[Span]:
    """Return the generation blocks of the turns ``answers``.

    Transformers' own mask isn't taken: it gives up at a block whose first character has no token of its own, and
    runs to the end of the row from one whose last character has none.
    """
    said = [at for at, message in enumerate(messages) if message.role == "assistant"]
    blocks = rendered.blocks
    if len(blocks) == len(said):
        owners = said
    elif list(answers) == said:
        return [block for block in blocks if block[0] < block[1]]
    else:
        owners = []
        for at in said:
            before = len(template.render(messages[:at], row.tools).blocks) if at else 0
            owners += [at] * (len(template.render(messages[: at + 1], row.tools).blocks) - before)
    if len(owners) != len(blocks):
        raise RefusedRowError(
            "unsound_mask",
            f"the template marks {len(blocks)} pieces for {len(said)} turns of the assistant, and which "
            "belongs to which can't be told",
            mend=f"put one {{% generation %}} around each turn ({GUIDE})",
        )
    for block, at in zip(blocks, owners, strict=True):
        content = messages[at].content.strip()
        if (
            len(blocks) == len(said)
            and content in rendered.text
            and content not in rendered.text[slice(*block)]
        ):
            raise RefusedRowError(
                "unsound_mask",
                f"the template's markers don't enclose what the assistant says in message {at + 1}",
                mend=f"write the content between {{% generation %}} and {{% endgeneration %}} ({GUIDE})",
            )
    chosen = set(answers)
    return [block for block, at in zip(blocks, owners, strict=True) if at in chosen and block[0] < block[1]]


def _has_other_prompt(
    template: ChatTemplate,
    rendered: Rendered,
    messages: Sequence[Message],
    row: ChatRow,
    blocks: Sequence[Span],
    answers: Sequence[int],
) -> bool:
    """Tell whether serving would ask for the last answer with another text than stands before it here."""
    if not answers or answers[-1] == 0:
        return False
    try:
        prompt = template.render(messages[: answers[-1]], row.tools, generation_prompt=True).text
    except RefusedRowError:
        return True
    return rendered.text[: blocks[-1][0]] != prompt


def _between_prefixes(
    template: ChatTemplate,
    rendered: Rendered,
    messages: Sequence[Message],
    row: ChatRow,
    at: int,
    stops: _StopPatterns,
) -> Span:
    """Return where a turn stands, from what the template renders up to it and up to its end.

    Sound only where both are how the whole conversation begins; templates that rewrite earlier turns aren't.
    """
    mend = f"mark the assistant's turns in the template with {{% generation %}} ({GUIDE})"
    if at == 0:
        raise RefusedRowError(
            "unsound_mask",
            "the conversation begins with the assistant and the template has no {% generation %} markers",
            mend=mend,
        )
    before = template.render(messages[:at], row.tools, generation_prompt=True).text
    through = rendered.text
    if at < len(messages) - 1:
        through = _without_closing(template.render(messages[: at + 1], row.tools).text, rendered.text, stops)
    if not (through.startswith(before) and rendered.text.startswith(through)):
        where = "up to" if not through.startswith(before) else "through"
        raise RefusedRowError(
            "unsound_mask",
            "the template has no {% generation %} markers, and what it renders "
            f"{where} message {at + 1} isn't how the whole conversation begins",
            mend=mend,
        )
    return len(before), len(through)


def _without_closing(through: str, whole: str, stops: _StopPatterns) -> str:
    """Return what a turn renders to without the end-of-text token that some templates put behind the last turn.

    It may go only where the turn is closed by a stop token of its own.
    """
    shorter = stops.last.sub("", through)
    is_closed = stops.last.search(shorter) is not None
    return shorter if is_closed and not whole.startswith(through) and whole.startswith(shorter) else through
