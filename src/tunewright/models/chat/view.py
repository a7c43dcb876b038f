"""Masked rows for a person: each token with its characters, as text, as a page, and as plain facts for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tunewright.support.pages import open_template

if TYPE_CHECKING:
    from tunewright.models.chat.masking import MaskedRow
    from tunewright.models.chat.preflight import Preflight
    from tunewright.models.chat.tokenizer import ChatTokenizer

PAGE = "preview.html"
BETWEEN = "·"
"""Stands between two tokens."""
OPEN, CLOSE = "⟦", "⟧"
"""Stand around what carries loss where there is no colour."""
_SIGNS = {"\n": "⏎\n", "\t": "⇥"}


@dataclass(frozen=True, slots=True)
class Piece:
    """A token, or characters that no token stands for."""

    id: int | None
    """``None`` for characters without a token."""
    text: str
    """Its characters; the token's own name where it has none."""
    loss: bool
    """Of characters without a token: whether they stand between two that carry loss."""


def pieces(masked: MaskedRow, chat: ChatTokenizer) -> list[Piece]:
    """Return a row token by token, what the tokenizer passes over between them.

    Of tokens that stand for the same characters, such as the bytes of one letter, the last one shows them.
    """
    found: list[Piece] = []
    reached = 0
    names = chat.tokenizer.convert_ids_to_tokens(list(masked.ids))
    following = [start for start, _ in masked.offsets[1:]] + [len(masked.text)]
    for number, name, (start, end), then, loss in zip(
        masked.ids, names, masked.offsets, following, masked.mask, strict=True
    ):
        if reached < start < end:
            is_inside = loss and bool(found) and found[-1].loss
            found.append(Piece(None, masked.text[reached:start], loss=is_inside))
            reached = start
        is_shared = then < end
        found.append(Piece(number, str(name) if is_shared else masked.text[reached:end] or str(name), loss))
        reached = reached if is_shared else max(reached, end)
    return found


def visible(text: str) -> str:
    """Return text with signs for line breaks and tabs; other control characters can't reach a terminal."""
    return "".join(
        _SIGNS.get(letter, letter if letter.isprintable() else letter.encode("unicode_escape").decode())
        for letter in text
    )


def runs(masked: MaskedRow, chat: ChatTokenizer) -> Iterator[tuple[bool, str]]:
    """Give what carries loss and what doesn't by turns; a dot or a line's end tells tokens apart."""
    for loss, group in groupby(pieces(masked, chat), key=lambda piece: piece.loss):
        text = ""
        for piece in group:
            apart = piece.id is not None and text and not text.endswith("\n")
            text += (BETWEEN if apart else "") + visible(piece.text)
        yield loss, text


def bracketed(masked: MaskedRow, chat: ChatTokenizer) -> str:
    """Return a row with brackets around what carries loss, for a log."""
    return "".join(f"{OPEN}{text}{CLOSE}" if loss else text for loss, text in runs(masked, chat))


def title(masked: MaskedRow) -> str:
    """Say in a line what a row is and how it was masked."""
    part = f", {masked.part}" if masked.part else ""
    cut = f", {masked.cut_tokens:,} cut ({masked.cut_supervised:,} with loss)" if masked.cut_tokens else ""
    return (
        f"row {masked.row}{part}: {len(masked.ids):,} tokens, {masked.supervised:,} carry loss{cut} "
        f"(by {masked.method})"
    )


def summary(found: Preflight, chat: ChatTokenizer) -> dict[str, str]:
    """Return the totals and the tokenizer's settings, a line each."""
    totals, setup = found.totals, chat.setup
    share = totals.supervised / (totals.templated - totals.truncated or 1)
    lines = {
        "rows": f"{totals.rows:,} ({totals.sequences:,} sequences, the longest {totals.longest:,} tokens)",
        "tokens": f"raw {totals.raw:,}, templated {totals.templated:,}, padded {totals.padded:,}",
        "carry loss": f"{totals.supervised:,} ({share:.1%} of what is read)",
        "truncated": f"{totals.truncated:,} tokens, {totals.truncated_supervised:,} of them with loss",
        "stop tokens": " ".join(setup.stop_tokens) or "none",
        "padding": f"{setup.pad_token} ({setup.pad_source}), on the right",
    }
    if setup.family:
        lines["family"] = setup.family
    return lines


def facts(found: Preflight, chat: ChatTokenizer) -> dict[str, Any]:
    """Return everything for programs."""
    setup = asdict(chat.setup)
    return {
        "rows": [
            {
                "row": masked.row,
                "part": masked.part,
                "method": masked.method,
                "cut_tokens": masked.cut_tokens,
                "cut_supervised": masked.cut_supervised,
                "tokens": [asdict(piece) for piece in pieces(masked, chat) if piece.id is not None],
            }
            for masked in found.shown
        ],
        "totals": asdict(found.totals),
        "tokenizer": setup,
        "refusals": [asdict(refusal) for refusal in found.refusals],
        "notes": list(found.notes),
    }


def render_page(found: Preflight, chat: ChatTokenizer, *, source: str, model: str) -> str:
    """Return a page of its own about the rows; it needs no other file and runs no script."""
    page = open_template("tunewright.models.chat", PAGE).render(
        source=source,
        model=model,
        totals=found.totals,
        summary=summary(found, chat),
        refusals=[refusal.line(source) for refusal in found.refusals],
        notes=[*chat.setup.changes, *found.notes],
        rows=[(title(masked), _marked(pieces(masked, chat))) for masked in found.shown],
    )
    # A lone surrogate in a row must not keep the page from being written.
    return page.encode("utf-8", "replace").decode("utf-8")


def _marked(found: Sequence[Piece]) -> list[tuple[str, Piece, str]]:
    """Return for each piece its class on the page, itself, and what is shown."""
    kinds = {True: "loss", False: "plain"}
    return [
        (kinds[piece.loss] if piece.id is not None else "gap", piece, visible(piece.text)) for piece in found
    ]
