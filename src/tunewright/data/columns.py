"""Which column is the text and which the label: by name first, by content where names say nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.support.errors import InputError, nearest

if TYPE_CHECKING:
    from tunewright.config.data import DataConfig
    from tunewright.data.rows import Values

TEXT_NAMES = (
    *(
        "text",
        "message",
        "sentence",
        "utterance",
        "content",
        "body",
        "document",
        "review",
        "comment",
        "tweet",
    ),
    *("sms", "query", "question", "input", "description", "post", "title", "v2"),
)
LABEL_NAMES = (
    *("label", "labels", "class", "category", "intent", "target", "sentiment", "topic", "tag", "class_label"),
    *("label_text", "label_name", "emotion", "output", "y", "v1"),
)
"""Usual names, the likeliest first; case and punctuation aside."""
KNOWN_NAMES = frozenset(re.sub(r"[^a-z0-9]", "", name) for name in (*TEXT_NAMES, *LABEL_NAMES))

MAX_LABEL_SHARE = 0.5
"""Distinct values a row above which a column can't be a label."""
MAX_LABEL_CHARACTERS = 64
MIN_TEXT_RATIO = 1.5
"""How much longer than the second longest column a text must be on average to be taken for it."""
HEADER_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Incoming:
    """Says that a source holds texts to be answered, so that labels may be absent.

    Args:
        text_column: What the text column was called in training; taken where the source has it.
        label_column: The same for the label.
    """

    text_column: str | None = None
    label_column: str | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """What one column holds in the sample."""

    name: str
    distinct: int
    filled: int
    longest: int
    mean_length: float

    @property
    def may_be_label(self) -> bool:
        """Few distinct short values that repeat."""
        few = 1 <= self.distinct <= max(2, MAX_LABEL_SHARE * self.filled)
        return few and self.longest <= MAX_LABEL_CHARACTERS


def choose_columns(
    names: tuple[str, ...], sample: Sequence[Values], config: DataConfig, *, place: str
) -> tuple[str, str, tuple[str, ...]]:
    """Choose the text column and the label column.

    Args:
        names: The columns of the source.
        sample: Some of its rows.
        config: ``text_column`` and ``label_column`` win where they are set.
        place: The source, for messages.

    Returns:
        The text column, the label column, and notes on what was inferred from content.

    Raises:
        InputError: When a named column is absent, or the choice is not clear.
    """
    for option in ("text_column", "label_column"):
        _refuse_absent(names, getattr(config, option), option=option, place=place)
    if config.text_column is not None and config.text_column == config.label_column:
        raise InputError(
            "text and label are the same column", place="data.label_column", mend="name two columns"
        )
    profiles = {name: _profile(name, [row[at] for row in sample]) for at, name in enumerate(names)}
    notes: list[str] = []
    text = config.text_column or _by_name(names, TEXT_NAMES, without=config.label_column)
    label = config.label_column or _by_name(names, LABEL_NAMES, without=text)
    if text is None:
        text = _by_length([profiles[name] for name in names if name != label], names, place=place)
        notes.append(f"the column '{text}' was taken for the text because it holds the longest values")
    if label is None:
        candidates = [profiles[name] for name in names if name != text and profiles[name].may_be_label]
        label = _fewest_values(candidates, names, place=place)
        notes.append(f"the column '{label}' was taken for the label because few short values repeat in it")
    return text, label, tuple(notes)


def choose_incoming(
    names: tuple[str, ...], sample: Sequence[Values], config: DataConfig, usual: Incoming, *, place: str
) -> tuple[str, str | None, tuple[str, ...]]:
    """Choose the text column, and the label column where a name tells it; labels are never guessed from content.

    Args:
        names: The columns of the source.
        sample: Some of its rows.
        config: ``text_column`` and ``label_column`` win where they are set.
        usual: What the columns were called in training; they come next.
        place: The source, for messages.

    Returns:
        The text column, the label column or none, and notes.

    Raises:
        InputError: When a named column is absent, or which one is the text is not clear.
    """
    told = {"text_column": config.text_column, "label_column": config.label_column}
    for option, name in told.items():
        _refuse_absent(names, name, option=option, place=place)
    label = config.label_column
    text = config.text_column or _known(usual.text_column, names, without=label)
    if text is None and len(names) == 1:
        text = names[0]
    text = text or _by_name(names, TEXT_NAMES, without=label)
    label = label or _known(usual.label_column, names, without=text)
    label = label or _by_name(names, LABEL_NAMES, without=text)
    if text is not None:
        return text, label, ()
    profiles = [_profile(name, [row[at] for row in sample]) for at, name in enumerate(names) if name != label]
    text = _by_length(profiles, names, place=place)
    return text, label, (f"the column '{text}' was taken for the text because it holds the longest values",)


def names_a_column(cell: str) -> bool:
    """Tell whether a cell is a usual name of a text or label column."""
    return _plain(cell) in KNOWN_NAMES


def looks_like_header(first: Sequence[str], rest: Sequence[Sequence[object]]) -> bool:
    """Tell whether the first line names the columns.

    It does when its cells are short, distinct words that don't come back below, and either one of them is a
    usual column name, or it is unlike the column under it (no number over numbers, no text over texts).
    """
    cells = [cell.strip() for cell in first if cell.strip()]
    if not cells or len(set(cells)) < len(cells) or any(len(cell) > HEADER_CHARACTERS for cell in cells):
        return False
    if any(_is_number(cell) for cell in cells):
        return False
    below = list(zip(*(row for row in rest if len(row) == len(first)), strict=True))
    repeated = [bool(cell.strip()) and cell in column for cell, column in zip(first, below, strict=False)]
    if any(repeated):
        return False
    if any(map(names_a_column, cells)):
        return True
    return any(map(_unlike, first, below))


def _unlike(cell: str, column: Sequence[object]) -> bool:
    """Tell whether a cell stands out from the column under it."""
    values = [str(value).strip() for value in column if value not in (None, "")]
    if not values or not cell.strip():
        return False
    if all(_is_number(value) for value in values):
        return True
    repeats = len(values) >= 2 * len(set(values))  # a label column in which this cell alone never recurs
    return repeats and len(set(values)) > 1 and " " not in cell.strip()


def _by_name(names: tuple[str, ...], usual: Sequence[str], *, without: str | None) -> str | None:
    """Return the column with the likeliest usual name."""
    plain = {_plain(name): name for name in reversed(names) if name != without}
    return next((plain[_plain(name)] for name in usual if _plain(name) in plain), None)


def _known(name: str | None, names: tuple[str, ...], *, without: str | None) -> str | None:
    """Return a name where the source has it."""
    return name if name in names and name != without else None


def _by_length(profiles: list[Profile], names: tuple[str, ...], *, place: str) -> str:
    """Return the column with clearly the longest values."""
    ranked = sorted(profiles, key=lambda item: -item.mean_length)
    clear = len(ranked) == 1 or (
        len(ranked) > 1 and ranked[0].mean_length >= MIN_TEXT_RATIO * ranked[1].mean_length
    )
    if not clear or not ranked[0].mean_length:
        raise _unclear("text", names, place=place)
    return ranked[0].name


def _fewest_values(candidates: list[Profile], names: tuple[str, ...], *, place: str) -> str:
    """Return the column with few short values; two equally good ones are the user's to choose from."""
    several = [item for item in candidates if item.distinct > 1] or candidates
    if len(several) != 1:
        raise _unclear("label", names, place=place)
    return several[0].name


def _unclear(role: str, names: tuple[str, ...], *, place: str) -> InputError:
    return InputError(
        f"can't tell which column is the {role}",
        place=place,
        mend=f"set data.{role}_column to one of: {_listed(names)}",
    )


def _refuse_absent(names: tuple[str, ...], wanted: str | None, *, option: str, place: str) -> None:
    """Refuse a column name that the source doesn't have."""
    if wanted is not None and wanted not in names:
        hint = nearest(wanted, list(names))
        raise InputError(
            f"has no column '{wanted}' (data.{option})",
            place=place,
            mend=f"{hint} it has: {_listed(names)}".strip(),
        )


def _profile(name: str, values: list[object]) -> Profile:
    """Measure one column of the sample."""
    texts = [str(value) for value in values if value is not None and value != ""]
    return Profile(
        name=name,
        distinct=len(set(texts)),
        filled=len(texts),
        longest=max(map(len, texts), default=0),
        mean_length=sum(map(len, texts)) / max(len(values), 1),
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _listed(names: tuple[str, ...], most: int = 12) -> str:
    return ", ".join(names[:most]) + (" …" if len(names) > most else "")
