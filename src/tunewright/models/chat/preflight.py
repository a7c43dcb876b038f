"""Before anything trains: what the rows cost in tokens, and every reason why nothing sound would be learned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunewright.models.chat.dropping import dropped_parts
from tunewright.models.chat.masking import Loss, MaskedRow, mask_row
from tunewright.models.chat.template import GUIDE, Reason, RefusedRowError
from tunewright.models.chat.texts import MAX_UNKNOWN_SHARE, TextFault, contents, inspect_texts
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.data.chat.rows import ChatRow
    from tunewright.models.chat.answers import Remark
    from tunewright.models.chat.tokenizer import ChatTokenizer

MAX_LOST_SHARE = 0.05
"""Share of tokens with loss that a length limit may take: one answer in twenty cut short shows in what is learned."""
NAMED_ROWS = 5


@dataclass(frozen=True, slots=True)
class Totals:
    """Tokens over all rows; a preference counts as two sequences."""

    rows: int
    sequences: int
    raw: int
    """Tokens of the texts alone."""
    templated: int
    """With what the template and the tokenizer add."""
    padded: int
    """If every sequence were padded to the longest."""
    supervised: int
    """Carry loss."""
    truncated: int
    """Taken by the length limit."""
    truncated_supervised: int
    """Those of them that carried loss."""
    longest: int
    """Tokens of the longest sequence, after the limit."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason not to train on these rows."""

    reason: Reason
    fact: str
    mend: str
    count: int = 0
    """Rows that it holds for; 0 when it is about all of them."""
    rows: tuple[int, ...] = ()
    """The numbers of the first few."""
    place: str = ""
    """What it is about, where that isn't the file."""

    def line(self, place: str) -> str:
        """Say it in one line."""
        return str(self.error(place))

    def error(self, place: str) -> InputError:
        """Return the error to raise; ``place`` names the file."""
        place = self.place or place
        named = ", ".join(str(row) for row in self.rows)
        if self.count:
            more = f" and {self.count - len(self.rows):,} more" if self.count > len(self.rows) else ""
            place = f"{place}, row{'s' if self.count > 1 else ''} {named}{more}"
        return InputError(self.fact, place=place, mend=self.mend)


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found over all rows."""

    totals: Totals
    refusals: tuple[Refusal, ...]
    notes: tuple[str, ...]
    shown: tuple[MaskedRow, ...]
    """The first rows, masked, for a person to look at."""

    def require_sound(self, place: str) -> None:
        """Refuse rows from which nothing sound would be learned.

        Raises:
            InputError: With the first reason.
        """
        if self.refusals:
            raise self.refusals[0].error(place)


@dataclass(slots=True)
class _Tally:
    """Counts that grow row by row."""

    counts: Counter[str] = field(default_factory=Counter)
    refused: dict[tuple[Reason, str], list[tuple[int, str]]] = field(default_factory=dict)
    remarks: Counter[Remark] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)
    shown: list[MaskedRow] = field(default_factory=list)
    longest: int = 0

    def refuse(self, row: ChatRow, error: RefusedRowError) -> None:
        """Remember a refused row under its reason and its mend."""
        self.refused.setdefault((error.reason, error.mend), []).append((row.row, error.fact))


def inspect_rows(
    rows: Iterable[ChatRow],
    chat: ChatTokenizer,
    *,
    loss: Loss | None = None,
    max_length: int | None = None,
    max_lost_share: float = MAX_LOST_SHARE,
    max_unknown_share: float = MAX_UNKNOWN_SHARE,
    show: int = 0,
) -> Preflight:
    """Mask every row, count its tokens, and look for each reason to refuse.

    Args:
        rows: All of them; they are read once.
        chat: Tokenizer and template.
        loss: As in ``mask_row``.
        max_length: Tokens a sequence.
        max_lost_share: Share of the tokens with loss that ``max_length`` may take.
        max_unknown_share: Share of the texts' tokens that the tokenizer may not know.
        show: Rows whose masks are kept for display.
    """
    tally = _Tally()
    for row in rows:
        _look_at(row, chat, tally, loss=loss, max_length=max_length, show=show)
    texts = inspect_texts(chat.tokenizer, tally.texts, max_unknown_share=max_unknown_share)
    tally.counts["raw"] = texts.tokens
    refusals = [*_tokenizer_refusals(chat, texts.faults), *_row_refusals(tally)]
    refusals += _total_refusals(tally, chat, max_length, max_lost_share)
    totals = Totals(
        rows=tally.counts["rows"],
        sequences=tally.counts["sequences"],
        raw=tally.counts["raw"],
        templated=tally.counts["templated"],
        padded=tally.counts["sequences"] * tally.longest,
        supervised=tally.counts["supervised"],
        truncated=tally.counts["truncated"],
        truncated_supervised=tally.counts["truncated_supervised"],
        longest=tally.longest,
    )
    notes = [*chat.setup.notes, *texts.notes, *_remark_notes(tally)]
    if tally.counts["too_long"]:
        notes.append(
            f"{tally.counts['too_long']:,} sequences are longer than the {chat.setup.context:,} tokens that the model "
            "was made to read: set a maximal length"
        )
    return Preflight(totals, tuple(refusals), tuple(notes), tuple(tally.shown))


def _look_at(
    row: ChatRow, chat: ChatTokenizer, tally: _Tally, *, loss: Loss | None, max_length: int | None, show: int
) -> None:
    """Add one row to the counts, or to the refused."""
    tally.counts["rows"] += 1
    tally.texts.extend(contents(row))
    try:
        masked_rows = mask_row(row, chat, loss=loss, max_length=max_length)
    except RefusedRowError as error:
        tally.refuse(row, error)
        masked_rows = ()
    try:
        for dropped in dropped_parts(row, chat.template):
            tally.refuse(row, dropped)
    except RefusedRowError as error:
        if masked_rows:  # else it is refused for this already
            tally.refuse(row, error)
    for masked in masked_rows:
        _count(masked, chat, tally)
        for fault in _faults(masked, chat):
            tally.refuse(row, fault)
    if tally.counts["shown"] < show:
        tally.counts["shown"] += 1
        tally.shown.extend(masked_rows)


def _count(masked: MaskedRow, chat: ChatTokenizer, tally: _Tally) -> None:
    """Add one sequence to the counts."""
    stops = set(chat.setup.stop_ids)
    trained = [token for token, carries in zip(masked.ids, masked.mask, strict=True) if carries]
    tally.counts["sequences"] += 1
    tally.counts["templated"] += len(masked.ids) + masked.cut_tokens
    tally.counts["supervised"] += len(trained)
    tally.counts["truncated"] += masked.cut_tokens
    tally.counts["truncated_supervised"] += masked.cut_supervised
    tally.counts["stops"] += sum(token in stops for token in trained)
    tally.counts["unclosed"] += bool(trained) and not masked.cut_tokens and trained[-1] not in stops
    tally.counts["too_long"] += chat.setup.context is not None and len(masked.ids) > chat.setup.context
    tally.remarks.update(masked.remarks)
    tally.longest = max(tally.longest, len(masked.ids))


def _faults(masked: MaskedRow, chat: ChatTokenizer) -> Iterator[RefusedRowError]:
    """Give what is wrong with one sequence."""
    if not masked.supervised and masked.cut_supervised:
        yield RefusedRowError(
            "no_supervised_token",
            f"all {masked.cut_supervised:,} tokens with loss lie beyond the first {len(masked.ids):,}",
            mend="raise the maximal length, shorten the prompt, or remove the row",
        )
    elif not masked.supervised:
        yield RefusedRowError(
            "no_supervised_token",
            "no token carries loss",
            mend="give it an answer of the assistant that may be trained, or remove the row",
        )
    bos = chat.setup.bos_id
    if bos is not None and masked.ids[:2] == (bos, bos):
        twice = (
            "the template writes it twice" if masked.method in ("markers", "prefixes") else "the text has it"
        )
        yield RefusedRowError(
            "double_bos",
            f"begins with {chat.setup.bos_token} twice",
            mend=f"write it once: {twice if not chat.setup.adds_bos else 'the tokenizer adds it by itself'}",
        )


def _tokenizer_refusals(chat: ChatTokenizer, faults: Iterable[TextFault]) -> Iterator[Refusal]:
    """Refuse a tokenizer that other engines read otherwise, or that loses these texts."""
    place = str(chat.tokenizer.name_or_path)
    if chat.faults:
        more = f", and {len(chat.faults) - 1} more" if len(chat.faults) > 1 else ""
        yield Refusal(
            "special_tokens",
            f"{chat.faults[0]}{more}: other engines read other ids than training does",
            'save the tokenizer with "normalized": false for its special tokens, or take another model',
            place=place,
        )
    for fault in faults:
        yield Refusal(fault.reason, fault.fact, fault.mend, place=place)


def _row_refusals(tally: _Tally) -> Iterator[Refusal]:
    """Put refused rows with one reason and one mend together."""
    for (reason, mend), found in tally.refused.items():
        rows = tuple(dict.fromkeys(row for row, _ in found))
        yield Refusal(reason, found[0][1], mend, count=len(rows), rows=rows[:NAMED_ROWS])


def _total_refusals(
    tally: _Tally, chat: ChatTokenizer, max_length: int | None, max_lost_share: float
) -> Iterator[Refusal]:
    """Refuse what only shows over all rows."""
    counts, stops = tally.counts, chat.setup.stop_tokens
    if counts["supervised"] and not counts["stops"]:
        cut = counts["truncated_supervised"] > 0
        yield Refusal(
            "stop_never_trained",
            f"no stop token ({', '.join(stops) or 'the tokenizer has none'}) carries loss, so the model would not "
            "learn to stop",
            "raise the maximal length"
            if cut
            else f"let the template close each answer with {{{{ eos_token }}}} ({GUIDE})"
            if stops
            else "name an eos_token in tokenizer_config.json",
        )
    carried = counts["supervised"] + counts["truncated_supervised"]
    share = counts["truncated_supervised"] / carried if carried else 0.0
    if share > max_lost_share:
        yield Refusal(
            "truncation",
            f"{share:.1%} of the tokens with loss lie beyond {max_length:,} tokens, {max_lost_share:.1%} may",
            "raise the maximal length, shorten or split the rows, or allow a larger share (--max-lost)",
        )


def _remark_notes(tally: _Tally) -> Iterator[str]:
    """Say how often a mask was odd and yet sound."""
    words: dict[Remark, str] = {
        "stop_outside_markers": "sequences whose stop token stands behind the template's markers: it carries loss "
        "all the same",
        "text_before_answer": "sequences in which text of the template before the answer carries loss",
        "other_prompt": "sequences whose last answer stands behind another text than serving's prompt: let "
        "add_generation_prompt write what stands before the markers",
        "token_across_boundary": "sequences with a token that begins in the prompt and ends in the answer: serving "
        "splits it otherwise; end the prompt without a space",
    }
    for remark, text in words.items():
        if tally.remarks[remark]:
            yield f"{tally.remarks[remark]:,} {text}"
    if tally.counts["unclosed"] and tally.counts["stops"]:
        yield f"{tally.counts['unclosed']:,} sequences end with an answer that no stop token closes"
