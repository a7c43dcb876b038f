"""Who may wait, and whose turn it is: a queue bounded in tokens and in time, shared fairly by those who ask.

Pure logic: time is given from outside, nothing is awaited.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from tunewright.serving.faults import overloaded

SHARE_OF_FREE = 4
"""A caller may hold so many times the room that is left (dynamic thresholds, Choudhury and Hahne 1998): one alone gets
four fifths of the queue, each of several equal parts, and a newcomer always finds room."""
FORGET_SECONDS = 2.0
"""Of engine time, in which a speed is forgotten that it doesn't reach any more."""
RATE_SECONDS = 5.0
"""The pace of late is taken over about so long."""
MOST_RETRY_SECONDS = 30
MOST_REMEMBERED = 1024
"""Callers with nothing waiting whose share is remembered, at least."""


class Admission:
    """Counts the tokens that wait, of each caller and together.

    Args:
        capacity: Tokens that may wait.
        seconds: Time that they may take the engine, by what it took of late.
    """

    def __init__(self, capacity: int, seconds: float = math.inf) -> None:
        self.capacity = capacity
        self.waiting = 0
        self._seconds = seconds
        self._of: dict[str, int] = {}
        self._pace = Pace()
        self._speed = Speed()

    def admit(self, caller: str, tokens: int, now: float) -> None:
        """Let a request wait. One that finds nothing waiting is always let in, however long.

        Raises:
            ServingError: Status 429 with the seconds after which to ask again.
        """
        own = self._of.get(caller, 0) + tokens
        room = min(self.capacity, self._speed.rate * self._seconds) - self.waiting - tokens
        is_first_of_caller = own == tokens
        fits = room >= 0 and (is_first_of_caller or own <= SHARE_OF_FREE * room)
        if self.waiting and not fits:
            raise overloaded(self.seconds_to_empty(now))
        self.waiting += tokens
        self._of[caller] = own

    def leave(self, caller: str, tokens: int) -> None:
        """Take tokens out of the count: they are sent to the engine, or nobody waits for them any more."""
        self.waiting -= tokens
        left = self._of[caller] - tokens
        if left:
            self._of[caller] = left
        else:
            del self._of[caller]

    def answered(self, tokens: int, now: float) -> None:
        """Note tokens that the engine has dealt with."""
        self._pace.add(tokens, now)

    def worked(self, tokens: int, seconds: float, *, lanes: int) -> None:
        """Note what the engine took for a batch, while it had so many lanes for others."""
        self._speed.add(tokens, seconds, lanes)

    def seconds_to_empty(self, now: float) -> int:
        """Estimate when what waits now will be done, in whole seconds, at least one."""
        rate = self._pace.rate(now)
        seconds = self.waiting / rate if rate else MOST_RETRY_SECONDS
        return max(1, min(MOST_RETRY_SECONDS, math.ceil(seconds)))


class Speed:
    """Tokens a second that the engine can deal with, whether it is busy or not.

    Short batches are slow for their tokens, and those are what a quiet server has: so the speed is the best that was
    seen of late, and falls slowly.
    """

    def __init__(self) -> None:
        self.rate = math.inf
        """Infinite before the first batch."""

    def add(self, tokens: int, seconds: float, lanes: int) -> None:
        """Note a batch."""
        now = tokens * lanes / seconds if seconds else math.inf
        if self.rate == math.inf or now > self.rate:
            self.rate = now
        else:
            self.rate += (now - self.rate) * (1 - math.exp(-seconds / FORGET_SECONDS))


class Pace:
    """Tokens a second of late: a sum that fades away, over the time it stands for."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._at = 0.0

    def add(self, tokens: int, now: float) -> None:
        """Note tokens."""
        self._sum = self._faded(now) + tokens
        self._at = now

    def rate(self, now: float) -> float:
        """Return tokens a second; 0 when there were none for long."""
        return self._faded(now) / RATE_SECONDS

    def _faded(self, now: float) -> float:
        return self._sum * math.exp(-max(0.0, now - self._at) / RATE_SECONDS)


class Shares:
    """How much each caller has had, so that the one who had least comes next.

    Start-time fair queueing (Goyal, Vin and Cheng 1996): a caller who comes back starts where the one stands who is
    served now, and so can neither save up turns nor lose them.
    """

    def __init__(self) -> None:
        self._had: dict[str, float] = {}
        self._here: set[str] = set()
        self._now = 0.0

    def enter(self, caller: str) -> None:
        """Begin to count for a caller who has something waiting."""
        self._had[caller] = max(self._had.get(caller, 0.0), self._now)
        self._here.add(caller)
        if len(self._had) > 2 * len(self._here) + MOST_REMEMBERED:
            self._had = {
                name: had for name, had in self._had.items() if name in self._here or had > self._now
            }

    def leave(self, caller: str) -> None:
        """Note that a caller has nothing waiting; what it had is remembered while others wait."""
        self._here.discard(caller)
        if not self._here:
            self._now = max(self._had.values())
            self._had.clear()

    def had(self, caller: str) -> float:
        """Return what a caller who waits has had, on a scale of tokens."""
        return self._had[caller]

    def least(self, callers: Iterable[str]) -> str:
        """Return the caller who had least; the count of newcomers starts there."""
        found = min(callers, key=self._had.__getitem__)
        self._now = max(self._now, self._had[found])
        return found

    def charge(self, caller: str, tokens: int) -> None:
        """Count tokens that a caller was given."""
        self._had[caller] += tokens
