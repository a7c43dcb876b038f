"""Rate limits per key: a bucket of requests and a bucket of tokens, each filled evenly over a minute.

A bucket holds a minute's worth, so a key that was quiet may use a minute's worth at once; over any ``t`` seconds it
gets at most a minute's worth and ``t`` seconds' worth. Pure arithmetic on an injected clock; one server process, one
event loop, hence no lock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

MINUTE = 60.0
Limit = Literal["requests", "tokens"]


@dataclass(frozen=True, slots=True)
class Bucket:
    """How much may be taken, at a moment."""

    per_minute: int
    level: float
    """What is in it; below zero when more was used than had been taken for it."""
    at: float
    """Seconds on the clock."""

    def later(self, now: float, per_minute: int) -> Bucket:
        """Return the bucket as it stands at ``now``, under a limit that may have been changed."""
        gained = max(0.0, now - self.at) * per_minute / MINUTE
        return Bucket(per_minute, min(float(per_minute), self.level + gained), max(now, self.at))

    def less(self, amount: float) -> Bucket:
        """Return it with something taken out, or, where negative, put back."""
        return Bucket(self.per_minute, min(float(self.per_minute), self.level - amount), self.at)

    def seconds_until(self, amount: float) -> float:
        """Return how long until so much is in it; infinite where it never holds that much."""
        if amount > self.per_minute:
            return math.inf
        return max(0.0, amount - self.level) * MINUTE / self.per_minute


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a request may go on."""

    is_allowed: bool
    limit: Limit | None = None
    """What it ran into."""
    wait_s: float = 0.0
    """Until the same request would be allowed; infinite where it asks for more than a minute's worth of tokens."""

    @property
    def retry_after(self) -> int | None:
        """Whole seconds for the header Retry-After; None where waiting doesn't help."""
        return None if math.isinf(self.wait_s) else max(1, math.ceil(self.wait_s))


ALLOWED = Admission(is_allowed=True)


class RateLimiter:
    """Counts what each key uses.

    Args:
        clock: Seconds that never run backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, Limit], Bucket] = {}

    def admit(
        self, name: str, *, requests_per_minute: int | None, tokens_per_minute: int | None, tokens: int
    ) -> Admission:
        """Take one request and its tokens out of a key's buckets: both, or nothing.

        Args:
            name: The key.
            requests_per_minute: Its limit; None: without.
            tokens_per_minute: Its limit; None: without.
            tokens: What the request is expected to use, in and out.

        Returns:
            Whether it may go on, else what it ran into and how long to wait.
        """
        limits: tuple[tuple[Limit, int | None, int], ...] = (
            ("requests", requests_per_minute, 1),
            ("tokens", tokens_per_minute, tokens),
        )
        now = self._clock()
        taken: dict[tuple[str, Limit], Bucket] = {}
        refusal = ALLOWED
        for limit, per_minute, amount in limits:
            if per_minute is None:
                continue
            bucket = self._bucket(name, limit, per_minute, now)
            if (wait := bucket.seconds_until(amount)) > refusal.wait_s:
                refusal = Admission(is_allowed=False, limit=limit, wait_s=wait)
            taken[name, limit] = bucket.less(amount)
        if refusal.is_allowed:
            self._buckets |= taken
        return refusal

    def settle(self, name: str, *, expected: int, used: int) -> None:
        """Put the tokens that an answer didn't use back, or take those that it used beyond what was expected."""
        bucket = self._buckets.get((name, "tokens"))
        if bucket is not None:
            now = self._bucket(name, "tokens", bucket.per_minute, self._clock())
            self._buckets[name, "tokens"] = now.less(used - expected)

    def remaining(self, name: str, limit: Limit, per_minute: int) -> int:
        """Return what a key may still use at this moment, for the headers ``x-ratelimit-remaining-…``."""
        return max(0, math.floor(self._bucket(name, limit, per_minute, self._clock()).level))

    def forget(self, names: set[str]) -> None:
        """Drop the buckets of keys that aren't among ``names``."""
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if key[0] in names}

    def _bucket(self, name: str, limit: Limit, per_minute: int, now: float) -> Bucket:
        found = self._buckets.get((name, limit), Bucket(per_minute, float(per_minute), now))
        return found.later(now, per_minute)
