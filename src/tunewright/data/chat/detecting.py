"""Which format rows are in, found from the first of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tunewright.data.chat.formats import FORMATS, Format
from tunewright.support.errors import InputError

DETECTION_ROWS = 100
"""Rows at the start of a source that are looked at."""
WEAKEST = "text"
"""Taken only where nothing else fits: a column ``text`` beside others is often a rendering of them."""
MAX_COLUMNS = 12
"""Columns that a message names."""


@dataclass(frozen=True, slots=True)
class Detected:
    """The format of a source, and why."""

    format: Format
    why: str


def detect_format(rows: Iterable[object], *, place: str) -> Detected:
    """Find the format that most of the first rows are in.

    A format wins over another on a row when it accounts for all columns that the other accounts for, and for more.

    Args:
        rows: The first rows; what is no object counts for nothing.
        place: The source, for messages.

    Raises:
        InputError: When none fits at least half of the rows, or several fit equally well.
    """
    votes: Counter[str] = Counter()
    columns: dict[str, frozenset[str]] = {}
    seen: dict[str, None] = {}
    looked_at = 0
    for row in rows:
        if not isinstance(row, Mapping):
            continue
        looked_at += 1
        seen.update(dict.fromkeys(map(str, row)))
        for name, accounted in fitting(row).items():
            votes[name] += 1
            columns.setdefault(name, accounted)
    ranked = votes.most_common()
    if not ranked or 2 * ranked[0][1] < looked_at:
        shown = ", ".join(list(seen)[:MAX_COLUMNS]) or "none"
        raise InputError(
            f"no format fits the first {looked_at:,} rows; their columns: {shown}",
            place=place,
            mend=f"rename columns, or name the format with --from: {', '.join(FORMATS)}",
        )
    best = [name for name, count in ranked if count == ranked[0][1]]
    if len(best) > 1:
        reasons = ", ".join(f"{name} by {_listed(columns[name])}" for name in best)
        raise InputError(
            f"{len(best)} formats fit the first rows equally well: {reasons}",
            place=place,
            mend="say which: " + " or ".join(f"--from {name}" for name in best),
        )
    why = f"{ranked[0][1]:,} of the first {looked_at:,} rows have {_listed(columns[best[0]])}"
    return Detected(FORMATS[best[0]], why)


def fitting(row: Mapping[str, object]) -> dict[str, frozenset[str]]:
    """Return the formats that fit a row best, with the columns that each accounts for."""
    found = {name: columns for name, each in FORMATS.items() if (columns := each.columns(row))}
    best = {name: mine for name, mine in found.items() if not any(mine < other for other in found.values())}
    if len(best) > 1:
        best.pop(WEAKEST, None)
    return best


def _listed(columns: frozenset[str]) -> str:
    *others, last = sorted(columns)
    return f"{', '.join(others)} and {last}" if others else last
