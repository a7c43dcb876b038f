"""What every reader gives: the values of a row, or why a row could not be read; and a tally of oddities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row that could not be read.

    Args:
        reason: One word for the quarantine file (``ragged_row``, ``unclosed_quote`` …).
        detail: What was found and what was expected.
        text: The start of the row, for the person who mends it.
    """

    reason: str
    detail: str
    text: str | None = None


Values: TypeAlias = tuple[object, ...]
"""The cells of a row in the order of the source's columns."""
Rows: TypeAlias = Iterator[Values | Malformed]


@dataclass(slots=True)
class Tally:
    """Counts oddities while rows stream by, and remembers where each was first seen."""

    row: int = 0
    """Number of the row that is being read, from 1."""
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str) -> None:
        """Count one oddity in the row that is being read."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.first.setdefault(kind, self.row)
