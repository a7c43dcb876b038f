"""Which tokens of a row carry loss: the row rendered, tokenised once, and a mask over its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tunewright.models.chat.answers import Method, Remark, find_answers
from tunewright.models.chat.template import GUIDE, RefusedRowError, Span
from tunewright.models.chat.texts import is_readable

if TYPE_CHECKING:
    from tunewright.data.chat.rows import ChatRow, Kind, Message
    from tunewright.models.chat.tokenizer import ChatTokenizer

Loss = Literal["assistant", "completion", "all"]
Part = Literal["", "chosen", "rejected"]
USUAL_LOSS: dict[Kind, Loss] = {
    "conversation": "assistant",
    "completion": "completion",
    "text": "all",
    "preference": "completion",
    "rated": "completion",
}


@dataclass(frozen=True, slots=True)
class MaskedRow:
    """A row as a model reads it; ``ids``, ``offsets`` and ``mask`` are of one length."""

    row: int
    part: Part
    """Which answer of a preference; empty for all other rows."""
    text: str
    """What was tokenised."""
    ids: tuple[int, ...]
    offsets: tuple[Span, ...]
    """The characters of ``text`` that each token stands for; none for a token that stands for nothing in it."""
    mask: tuple[bool, ...]
    """Whether a token carries loss; the first never does, for nothing predicts it."""
    spans: tuple[Span, ...]
    """The characters that carry loss, before any cut."""
    method: Method
    remarks: frozenset[Remark] = frozenset()
    cut_tokens: int = 0
    """Tokens that the length limit took."""
    cut_supervised: int = 0
    """Those of them that carried loss."""

    @property
    def supervised(self) -> int:
        """Tokens that carry loss."""
        return sum(self.mask)


def mask_row(
    row: ChatRow, chat: ChatTokenizer, *, loss: Loss | None = None, max_length: int | None = None
) -> tuple[MaskedRow, ...]:
    """Render and tokenise a row and say which tokens carry loss.

    Args:
        row: What to learn from.
        chat: Tokenizer and template.
        loss: ``assistant``: what the assistant says, each turn with its stop token. ``completion``: the last
            answer alone. ``all``: every token. ``None`` takes what suits the row's kind.
        max_length: Tokens to keep, from the start.

    Returns:
        One, or two for a preference: the chosen answer and the rejected one.

    Raises:
        RefusedRowError: When there is no sound mask.
    """
    wanted = loss or USUAL_LOSS[row.kind]
    if row.kind in {"text", "completion"}:
        rows = [_mask_plain(row, chat, wanted)]
    elif row.kind == "preference":
        rows = [
            _mask_conversation(row, chat, row.chosen, part="chosen", loss=wanted),
            _mask_conversation(row, chat, row.rejected, part="rejected", loss=wanted),
        ]
    else:
        rows = [_mask_conversation(row, chat, row.chosen, part="", loss=wanted)]
    return tuple(_cut(each, max_length) for each in rows)


def _mask_plain(row: ChatRow, chat: ChatTokenizer, loss: Loss) -> MaskedRow:
    """Mask a row outside any template: tokenised with the tokenizer's own special tokens, an end token behind."""
    text = row.text if row.kind == "text" else row.prompt + row.completion
    if row.kind == "text" and loss != "all":
        raise RefusedRowError(
            "no_supervised_token",
            f"plain text has neither turns nor a completion, and loss on '{loss}' was asked for",
            mend="take --loss all, or give prompt and completion",
        )
    ids, offsets = _encode(chat, text, add_special_tokens=True)
    end = (len(text), len(text))
    stops = set(chat.setup.stop_ids)
    closed = bool(ids) and ids[-1] in stops
    if closed and offsets[-1] == (0, 0):
        offsets[-1] = end
    if not closed and chat.setup.eos_id is not None:
        ids.append(chat.setup.eos_id)
        offsets.append(end)
    start = 0 if loss == "all" else len(row.prompt)
    spans = ((start, len(text)),) if start < len(text) else ()
    mask = [bool(spans)] * len(ids) if loss == "all" else _cover(offsets, spans, len(text))
    if spans and ids and ids[-1] in stops:
        mask[-1] = True
    return _masked(row, "", text, ids, offsets, mask, spans, "everything" if loss == "all" else "completion")


def _mask_conversation(
    row: ChatRow, chat: ChatTokenizer, answer: tuple[Message, ...], *, part: Part, loss: Loss
) -> MaskedRow:
    """Mask messages, or a prompt of messages with an answer behind them."""
    if chat.template is None:
        raise RefusedRowError(
            "no_template",
            "the tokenizer has no chat template",
            mend=f"give one with --template FILE ({GUIDE})",
        )
    messages = (*row.messages, *answer)
    if not messages:
        raise RefusedRowError("no_supervised_token", "has no messages", mend="remove the row")
    first = len(row.messages) if answer else 0
    answers = [
        at for at, each in enumerate(messages) if each.role == "assistant" and each.trained and at >= first
    ]
    if loss == "completion" and not answer:
        answers = answers[-1:] if answers and answers[-1] == len(messages) - 1 else []
    method: Method = "everything"
    remarks: frozenset[Remark] = frozenset()
    if loss == "all":
        rendered = chat.template.render(messages, row.tools)
        spans: tuple[Span, ...] = ((0, len(rendered.text)),)
    else:
        found = find_answers(chat.template, row, messages, answers, stop_tokens=chat.setup.stop_tokens)
        rendered, spans, method, remarks = found.rendered, found.spans, found.method, found.remarks
    # The template writes the special tokens: the tokenizer must not add them once more.
    ids, offsets = _encode(chat, rendered.text, add_special_tokens=False)
    mask = _cover(offsets, spans, len(rendered.text))
    return _masked(row, part, rendered.text, ids, offsets, mask, spans, method, remarks)


def _encode(chat: ChatTokenizer, text: str, *, add_special_tokens: bool) -> tuple[list[int], list[Span]]:
    """Tokenise a text, with the characters that each token stands for; white space that was trimmed comes back."""
    if not is_readable(text):
        raise RefusedRowError(
            "lost_text",
            "holds half of a surrogate pair, which no tokenizer reads",
            mend="write the row again in UTF-8, or remove it",
        )
    encoded = chat.tokenizer(
        text, add_special_tokens=add_special_tokens, return_offsets_mapping=True, verbose=False
    )
    offsets: list[Span] = []
    reached = 0
    for start, end in encoded["offset_mapping"]:
        offsets.append((min(start, reached) if chat.setup.trims_offsets else start, end))
        reached = max(reached, end)
    return list(encoded["input_ids"]), offsets


def _cover(offsets: Sequence[Span], spans: Sequence[Span], length: int) -> list[bool]:
    """Return which tokens stand for at least one character of the spans; one for none goes with its neighbours."""
    carries = bytearray(length + 2)
    for start, end in spans:
        carries[start:end] = b"\1" * (end - start)
    return [
        any(carries[start:end]) if start < end else bool(carries[end] and carries[end - 1])
        for start, end in offsets
    ]


def _masked(
    row: ChatRow,
    part: Part,
    text: str,
    ids: list[int],
    offsets: list[Span],
    mask: list[bool],
    spans: Sequence[Span],
    method: Method,
    remarks: frozenset[Remark] = frozenset(),
) -> MaskedRow:
    """Put the pieces together; nothing predicts the first token."""
    edges = [edge for edge, _ in spans]
    if any(start < edge < end for start, end in offsets for edge in edges):
        remarks |= {"token_across_boundary"}
    return MaskedRow(
        row=row.row,
        part=part,
        text=text,
        ids=tuple(ids),
        offsets=tuple(offsets),
        mask=(False, *mask[1:]) if mask else (),
        spans=tuple(spans),
        method=method,
        remarks=remarks,
    )


def _cut(masked: MaskedRow, max_length: int | None) -> MaskedRow:
    """Keep the first tokens and count what is lost."""
    if max_length is None or len(masked.ids) <= max_length:
        return masked
    return replace(
        masked,
        ids=masked.ids[:max_length],
        offsets=masked.offsets[:max_length],
        mask=masked.mask[:max_length],
        cut_tokens=len(masked.ids) - max_length,
        cut_supervised=sum(masked.mask[max_length:]),
    )
