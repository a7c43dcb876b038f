"""What is counted of both versions while traffic shifts: requests, errors, and times by size."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunewright.serving.rollout.bounds import Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.serving.rollout.timing import Timing

KEPT = 512
"""Times that are kept of each size."""
LEAST_OLD = 40
"""Times of the old version without which its 95th percentile says nothing."""
SLACK_S = 0.005
"""Differences below it nobody notices: they never make an answer slow."""
TOKEN_SLACK_S = 0.001
"""The same for each token of an answer: a second in a thousand of them."""
PERCENTILE = 0.95


class Times:
    """Seconds by size: only requests of like length are compared, whoever sends them."""

    def __init__(self) -> None:
        self._by_size: dict[int, deque[float]] = {}

    def add(self, tokens: int, seconds: float) -> None:
        """Keep a time, by the power of two of its tokens."""
        self._by_size.setdefault(tokens.bit_length(), deque(maxlen=KEPT)).append(seconds)

    def slower(self, before: Times, ratio: float, slack: float) -> tuple[int, int]:
        """Compare with an older version's; return how many can be compared, and how many of them are slow.

        Args:
            before: The older ones.
            ratio: Times their 95th percentile beyond which one is slow.
            slack: Seconds that are allowed besides.
        """
        timed = slow = 0
        for size, times in self._by_size.items():
            like = before._by_size.get(size, ())
            if len(like) >= LEAST_OLD:
                limit = ratio * percentile(like) + slack
                timed += len(times)
                slow += sum(seconds > limit for seconds in times)
        return timed, slow


@dataclass(eq=False, slots=True)
class Side:
    """One version's counts in the present step."""

    requests: int = 0
    errors: int = 0
    times: Times = field(default_factory=Times)
    """Until its answers, by the requests' tokens."""
    token_times: Times = field(default_factory=Times)
    """For each token, by the answers' tokens: the mean of a few scatters more than that of many."""

    def add(self, timing: Timing) -> None:
        """Count an answer."""
        self.requests += 1
        self.times.add(timing.read, timing.answer_s)
        if timing.written:
            self.token_times.add(timing.written, timing.token_s)

    def fail(self) -> None:
        """Count a request that it failed at."""
        self.requests += 1
        self.errors += 1


class Tally:
    """Counts of the old and the new version.

    Args:
        latency_ratio: Times the old version's 95th percentile beyond which an answer, or a token, is slow.
    """

    def __init__(self, latency_ratio: float) -> None:
        self._ratio = latency_ratio
        self.old = Side()
        self.new = Side()

    def seen(self, deaths: int) -> Seen:
        """Sum up."""
        old, new = self.old, self.new
        timed, slow = new.times.slower(old.times, self._ratio, SLACK_S)
        token_timed, token_slow = new.token_times.slower(old.token_times, self._ratio, TOKEN_SLACK_S)
        return Seen(
            requests=new.requests,
            errors=new.errors,
            old_requests=old.requests,
            old_errors=old.errors,
            timed=timed,
            slow=slow,
            deaths=deaths,
            token_timed=token_timed,
            token_slow=token_slow,
        )

    def next_step(self) -> None:
        """Begin anew; the old version's times stay, for it answers less and less."""
        self.new = Side()
        self.old = Side(times=self.old.times, token_times=self.old.token_times)


def percentile(times: Sequence[float] | deque[float]) -> float:
    """Return the 95th percentile."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, math.ceil(PERCENTILE * len(ordered)) - 1)]
