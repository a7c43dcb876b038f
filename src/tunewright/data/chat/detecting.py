"""Which format rows are in, found from the first of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunewright.data.chat.formats import FORMATS, Format
from tunewright.data.rows import Malformed
from tunewright.support.errors import InputError

DETECTION_ROWS = 100
"""Rows at the start of a source that are looked at."""
WEAKEST = "text"
"""Taken only where nothing else fits: a column ``text`` beside others is often a rendering of them."""
MEND = "check the file, or tell how it is read (data.format, data.json_field)"
MAX_COLUMNS = 12
"""Columns that a message names."""


@dataclass(frozen=True, slots=True)
class Detected:
    """The format of a source, and why."""

    format: Format
    why: str


def detect_format(rows: Sequence[object], *, place: str, option: str = "--from {}") -> Detected:
    """Find the format that most of the first rows are in.

    A format wins over another on a row when it accounts for all columns that the other accounts for, and for more.

    Args:
        rows: The first rows; what is no object, or can't be read, counts for nothing.
        place: The source, for messages.
        option: How the user names a format, for messages; ``{}`` stands for the name.

    Raises:
        InputError: When none fits at least half of the rows, or several fit equally well.
    """
    votes: Counter[str] = Counter()
    columns: dict[str, frozenset[str]] = {}
    seen: dict[str, None] = {}
    objects = [row for row in rows if isinstance(row, Mapping)]
    if rows and not objects:
        raise InputError(
            f"none of the first {len(rows):,} rows is an object{_fault(rows[0])}", place=place, mend=MEND
        )
    for row in objects:
        seen.update(dict.fromkeys(map(str, row)))
        for name, accounted in fitting(row).items():
            votes[name] += 1
            columns.setdefault(name, accounted)
    ranked = votes.most_common()
    if not ranked or 2 * ranked[0][1] < len(objects):
        shown = ", ".join(list(seen)[:MAX_COLUMNS]) or "none"
        raise InputError(
            f"no format fits the first {len(objects):,} rows; their columns: {shown}",
            place=place,
            mend=f"rename columns, or name the format with {option.format('').strip(' =')}: {', '.join(FORMATS)}",
        )
    best = [name for name, count in ranked if count == ranked[0][1]]
    if len(best) > 1:
        reasons = ", ".join(f"{name} by {_listed(columns[name])}" for name in best)
        raise InputError(
            f"{len(best)} formats fit the first rows equally well: {reasons}",
            place=place,
            mend="say which: " + " or ".join(option.format(name) for name in best),
        )
    why = f"{ranked[0][1]:,} of the first {len(objects):,} rows have {_listed(columns[best[0]])}"
    return Detected(FORMATS[best[0]], why)


def fitting(row: Mapping[str, object]) -> dict[str, frozenset[str]]:
    """Return the formats that fit a row best, with the columns that each accounts for."""
    found = {name: columns for name, each in FORMATS.items() if (columns := each.columns(row))}
    best = {name: mine for name, mine in found.items() if not any(mine < other for other in found.values())}
    if len(best) > 1:
        best.pop(WEAKEST, None)
    return best


def _fault(row: object) -> str:
    """Say why a row can't be read, if a reader found so."""
    return f" ({row.reason}: {row.detail})" if isinstance(row, Malformed) else ""


def _listed(columns: frozenset[str]) -> str:
    *others, last = sorted(columns)
    return f"{', '.join(others)} and {last}" if others else last
