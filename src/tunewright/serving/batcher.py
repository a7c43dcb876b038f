"""The dynamic batcher: which of the waiting texts the engine reads next, and when.

Pure logic: time is given from outside, nothing is awaited, and nothing is known of HTTP or processes.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tunewright.serving.admission import Shares

CLASSES = [8, 12, 18, 27, 41, 61, 91, 137, 205, 308, 461, 692, 1038, 1557, 2335, 3503, 5255, 8192]
"""Upper bounds of the lengths that wait in one line, each about half as long again as the one before."""
REACH = 2
"""Texts join from so many lines on either side at most: the lengths of others differ too much."""
LIKE = 2
"""Texts share a batch when the longest has at most so many times the tokens of the shortest …"""
ALWAYS_LIKE = 16
"""… or at most so many tokens more: below that, a batch of its own costs more than the padding."""
PATIENCE_S = 0.001
"""A text's turn comes so long a token after its arrival: a short one passes a long one that has not waited its time,
and no text is passed for longer than that."""
GAP_WEIGHT = 0.2
"""Weight of the last gap between two arrivals in their mean."""
LONG_GAP = 5
"""A gap counts for so many times the wait at most, so that a quiet hour is forgotten after some arrivals."""
MOST_GONE = 1024
"""Rows that nobody waits for are swept out beyond this number, and when they outnumber the others."""


@dataclass(eq=False, slots=True)
class Row:
    """One text, as token ids, that waits."""

    ids: Sequence[int]
    caller: str
    arrival: float
    ticket: Any = None
    """Whose row it is; never looked at here."""
    index: int = 0
    """Its place in the ticket."""
    gone: bool = field(default=False, init=False)
    """Nobody waits for it any more."""
    tokens: int = field(init=False)
    """Its length."""

    def __post_init__(self) -> None:
        self.tokens = len(self.ids)

    @property
    def due(self) -> float:
        """When its turn comes."""
        return self.arrival + PATIENCE_S * self.tokens


class Batcher:
    """Rows go in at any time; batches of like length come out, fair to callers and to lengths.

    Args:
        token_budget: Rows times the longest of them, at most; a text that is longer by itself goes alone.
        max_rows: Rows of a batch, at most.
        max_wait_s: Time after its arrival that a row may be held back for others to join it.
    """

    def __init__(self, *, token_budget: int, max_rows: int, max_wait_s: float) -> None:
        self._budget = token_budget
        self._max_rows = max_rows
        self._max_wait = max_wait_s
        self._lines: dict[str, dict[int, deque[Row]]] = {}
        self._rows_of: dict[str, int] = {}
        self._shares = Shares()
        self._gone = 0
        self._last_arrival = float("-inf")
        self._mean_gap = LONG_GAP * max_wait_s
        self.rows = 0
        """Rows that wait."""
        self.tokens = 0
        """Tokens that wait."""

    def add(self, row: Row) -> None:
        """Let a row wait."""
        gap = min(max(0.0, row.arrival - self._last_arrival), LONG_GAP * self._max_wait)
        self._mean_gap += GAP_WEIGHT * (gap - self._mean_gap)
        self._last_arrival = row.arrival
        if row.caller not in self._lines:
            self._lines[row.caller], self._rows_of[row.caller] = {}, 0
            self._shares.enter(row.caller)
        self._lines[row.caller].setdefault(_class(row.tokens), deque()).append(row)
        self._rows_of[row.caller] += 1
        self.rows += 1
        self.tokens += row.tokens

    def drop(self, row: Row) -> None:
        """Forget a row that waits: it will not be in any batch."""
        if row.gone:
            return
        row.gone = True
        self._gone += 1
        self._count(row)
        if self._gone > max(MOST_GONE, self.rows):
            self._sweep()

    def take(self, now: float, *, busy: int, lanes: int) -> list[Row]:
        """Return the rows of the next batch; empty when none should be sent now (see ``wake_at``).

        Args:
            now: The time.
            busy: Batches that the engine has in work.
            lanes: Batches that it can have in work at once. One more is given when a full one waits, so that the
                engine needn't wait for it.
        """
        if not self.rows or busy > lanes:
            return []
        is_full = self.tokens >= self._budget or self.rows >= self._max_rows
        if busy == lanes and not is_full:
            return []
        if busy and not is_full and now < self._hold_until(now):
            return []
        return self._fill()

    def wake_at(self, now: float, *, busy: int, lanes: int) -> float | None:
        """Return when ``take`` should be asked again, though nothing arrives or ends; None: no need to."""
        return self._hold_until(now) if self.rows and 0 < busy < lanes else None

    def _hold_until(self, now: float) -> float:
        """Return until when waiting may gain a neighbour; a time in the past when it can't."""
        oldest = min(row.arrival for row in self._heads(self._lines))
        until = oldest + self._max_wait
        return until if self._mean_gap <= until - now else now

    def _fill(self) -> list[Row]:
        """Take the row whose turn it is, and those that join it at little cost."""
        first = self._shares.least(self._lines)
        seed = min(self._heads([first]), key=lambda row: row.due)
        near = _near(_class(seed.tokens))
        turns = [(self._shares.had(caller), at, caller) for at, caller in enumerate(self._lines)]
        heapq.heapify(turns)
        taken = [self._pop(seed)]
        low = high = seed.tokens
        while turns and len(taken) < self._max_rows:
            _, at, caller = heapq.heappop(turns)
            row = self._joining(caller, near, len(taken), low, high)
            if row is not None:
                taken.append(self._pop(row))
                low, high = min(low, row.tokens), max(high, row.tokens)
                if caller in self._lines:
                    heapq.heappush(turns, (self._shares.had(caller), at, caller))
        return taken

    def _joining(self, caller: str, near: Iterable[int], taken: int, low: int, high: int) -> Row | None:
        """Return a caller's row that may join: within the budget, and not much shorter or longer than any."""
        lines = self._lines.get(caller, {})
        for number in near:
            row = self._head(lines[number]) if number in lines else None
            if row is not None:
                least, most = min(low, row.tokens), max(high, row.tokens)
                is_like = most <= LIKE * least or most - least <= ALWAYS_LIKE
                if is_like and (taken + 1) * most <= self._budget:
                    return row
        return None

    def _heads(self, callers: Iterable[str]) -> Iterator[Row]:
        """Give the first row of each line of some callers."""
        for caller in callers:
            for line in self._lines[caller].values():
                if row := self._head(line):
                    yield row

    def _head(self, line: deque[Row]) -> Row | None:
        """Return the first row of a line that somebody waits for."""
        while line and line[0].gone:
            line.popleft()
            self._gone -= 1
        return line[0] if line else None

    def _pop(self, row: Row) -> Row:
        """Take the head of its line out, and charge its caller."""
        self._lines[row.caller][_class(row.tokens)].popleft()
        self._shares.charge(row.caller, row.tokens)
        self._count(row)
        return row

    def _count(self, row: Row) -> None:
        """Count a row as waiting no more; a caller with none left is forgotten."""
        self.rows -= 1
        self.tokens -= row.tokens
        self._rows_of[row.caller] -= 1
        if not self._rows_of[row.caller]:
            self._gone -= sum(map(len, self._lines.pop(row.caller).values()))
            del self._rows_of[row.caller]
            self._shares.leave(row.caller)

    def _sweep(self) -> None:
        """Take every row out that nobody waits for."""
        for lines in self._lines.values():
            for number, line in list(lines.items()):
                lines[number] = deque(row for row in line if not row.gone)
        self._gone = 0


def _class(tokens: int) -> int:
    return bisect_left(CLASSES, tokens)


@cache
def _near(number: int) -> list[int]:
    """Return the lines whose texts may join those of a line, nearest first."""
    lines = range(max(0, number - REACH), number + REACH + 1)
    return sorted(lines, key=lambda other: abs(other - number))
