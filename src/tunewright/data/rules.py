"""What makes a row bad: rules on one row, copies, and contradictions between rows."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.config.data import Validation

    Integers = npt.NDArray[np.int64]

GOOD = ""
REASONS = (
    GOOD,
    "missing_label",
    "empty_text",
    "not_text",
    "unknown_label",
    "too_short",
    "too_long",
    "secret",
    "exact_duplicate",
    "conflicting_label",
    "empty_content",
    "same_answers",
)
"""A row's reason is stored as a position in this list."""
COPY = "exact_duplicate"
UNREADABLE = frozenset({"empty_text", "not_text"})

UNREADABLE_SHARE = 0.3
"""A text with this share of characters that stand for nothing readable is not text."""
_UNREADABLE = frozenset({"Cc", "Cs", "Co", "Cn"})


@dataclass(frozen=True, slots=True)
class Rows:
    """What is remembered of every row while the parts stream by: arrays of equal length, in source order."""

    row: Integers
    """Row number in the source."""
    reason: npt.NDArray[np.int8]
    """Position in ``REASONS``; 0 is good."""
    other: Integers
    """Row number that this one clashes with, or 0."""
    label: Integers
    """Position in ``label_names``; -1 for none."""
    characters: Integers
    digest: Integers
    """64 bits of the text as it was read."""
    canonical: Integers
    """64 bits of the canonical text."""
    words: Integers
    """64 bits of the words of the text."""
    key: Integers
    """64 bits of its words run together: what splits keep on one side."""
    label_names: tuple[str, ...]

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """The rows that nothing speaks against."""
        mask: npt.NDArray[np.bool_] = self.reason == 0
        return mask

    def having(self, reason: str) -> npt.NDArray[np.bool_]:
        """The rows set aside for a reason."""
        mask: npt.NDArray[np.bool_] = self.reason == REASONS.index(reason)
        return mask


def fault(text: object, label: str | None, config: Validation, allowed: Collection[str] | None) -> str:
    """Return the reason against one row by itself, or ``GOOD``."""
    if label is None or not label.strip():
        return "missing_label"
    reason = text_fault(text, config)
    if reason not in UNREADABLE and allowed is not None and label not in allowed:
        return "unknown_label"
    return reason


def text_fault(text: object, config: Validation) -> str:
    """Return the reason against a text, whatever its label, or ``GOOD``."""
    unreadable = _no_text(text)
    if unreadable or not isinstance(text, str):
        return unreadable
    if len(text) < config.min_characters:
        return "too_short"
    return "too_long" if len(text) > config.max_characters else GOOD


def set_copies_aside(rows: Rows) -> Rows:
    """Mark, among good rows, every copy (same text as read, same label) but the first."""
    import numpy as np

    places = np.flatnonzero(rows.good)
    first = first_of(rows.digest[places], rows.label[places])
    copies = first != np.arange(len(places))
    return _marked(rows, places[copies], COPY, rows.row[places[first[copies]]])


def set_conflicts_aside(rows: Rows, policy: str) -> Rows:
    """Mark rows whose canonical text also stands under another label.

    Args:
        rows: All rows; copies have a vote in a majority.
        policy: ``quarantine`` marks all of them, ``majority`` all but those with the commonest label (all
            when there is a tie), ``keep`` none.

    Returns:
        The rows with ``conflicting_label`` marked.
    """
    import numpy as np

    if policy == "keep":
        return rows
    places = np.flatnonzero(rows.good | rows.having(COPY))
    texts, inverse = np.unique(rows.canonical[places], return_inverse=True)
    labels = rows.label[places]
    pairs = np.unique(np.stack([inverse, labels], axis=1), axis=0)
    disputed = np.flatnonzero(np.bincount(pairs[:, 0], minlength=len(texts)) > 1)
    marked: list[int] = []
    others: list[int] = []
    for text in disputed:
        members = places[inverse == text]
        winner = _majority(rows.label[members]) if policy == "majority" else None
        for place in members[rows.good[members]]:
            if rows.label[place] != winner:
                marked.append(int(place))
                others.append(int(rows.row[members[rows.label[members] != rows.label[place]][0]]))
    return _marked(rows, np.array(marked, np.int64), "conflicting_label", np.array(others, np.int64))


def first_of(*keys: Integers) -> Integers:
    """Return, for each position, the first position with the same keys."""
    import numpy as np

    codes = np.zeros(len(keys[0]), np.int64)
    for key in keys:
        _, inverse = np.unique(key, return_inverse=True)
        pair = codes * (inverse.max(initial=0) + 1) + inverse
        codes = np.unique(pair, return_inverse=True)[1]
    _, index, inverse = np.unique(codes, return_index=True, return_inverse=True)
    first: Integers = index[inverse].astype(np.int64)
    return first


def detail(
    reason: str, *, text: object, label: str | None, other: int, config: Validation, labelled: bool = True
) -> str:
    """Return one clause that says what is wrong with a row; rows of language models have no labels to speak of."""
    characters = len(text) if isinstance(text, str) else 0
    return {
        "missing_label": "the label is empty",
        "empty_text": "the text is empty or only white space",
        "not_text": "the text is not readable as text",
        "unknown_label": f"the label '{label}' is not one of data.validation.labels",
        "too_short": f"{characters} characters, at least {config.min_characters} expected",
        "too_long": f"{characters} characters, at most {config.max_characters} expected",
        "secret": "holds a credential; its text is withheld here",
        COPY: f"same text and label as row {other}" if labelled else f"the same as row {other}",
        "conflicting_label": f"same text as row {other}, which has another label",
        "empty_content": "a turn, the prompt or the completion is empty",
        "same_answers": "the chosen and the rejected answer are the same",
    }[reason]


def _marked(rows: Rows, places: Integers, reason: str, others: Integers) -> Rows:
    """Return the rows with a reason set at some places."""
    reasons, other = rows.reason.copy(), rows.other.copy()
    reasons[places] = REASONS.index(reason)
    other[places] = others
    return replace(rows, reason=reasons, other=other)


def _majority(labels: Integers) -> int | None:
    """Return the commonest label, or nothing when two are as common."""
    import numpy as np

    values, counts = np.unique(labels, return_counts=True)
    best = counts == counts.max()
    return int(values[best][0]) if best.sum() == 1 else None


def _no_text(text: object) -> str:
    """Return why a value is no text to learn from: nothing in it, or nothing readable."""
    if text is None:
        return "empty_text"
    if not isinstance(text, str):
        return "not_text"
    if not any(character.isprintable() and not character.isspace() for character in text):
        return "empty_text"
    return "not_text" if _is_unreadable(text) else GOOD


def _is_unreadable(text: str) -> bool:
    """Tell whether much of a text is control, private or replacement characters: binary, or decoded wrongly."""
    if text.isascii() and text.isprintable():
        return False
    bad = sum(
        character == "\N{REPLACEMENT CHARACTER}"
        or (unicodedata.category(character) in _UNREADABLE and not character.isspace())
        for character in text
    )
    return bad >= UNREADABLE_SHARE * len(text)
