"""What is counted of both versions while traffic shifts: requests, errors, times by size, and a shadow's answers."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunewright.serving.rollout.bounds import Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.models.classifier import Prediction

KEPT = 512
"""Times that are kept of each size."""
LEAST_OLD = 40
"""Times of the old version without which its 95th percentile says nothing."""
SLACK_S = 0.005
"""Differences below it nobody notices: they never make an answer slow."""
PERCENTILE = 0.95
LEAST_SHARE = 1e-30
"""Smaller probabilities count as this one, which keeps their logarithm finite."""


@dataclass(eq=False, slots=True)
class Side:
    """One version's counts in the present step."""

    requests: int = 0
    errors: int = 0
    times: dict[int, deque[float]] = field(default_factory=dict)
    """Seconds of its answers, by size: requests of like length are compared, whoever sends them."""

    def add(self, tokens: int, seconds: float) -> None:
        """Count an answer."""
        self.requests += 1
        self.times.setdefault(tokens.bit_length(), deque(maxlen=KEPT)).append(seconds)

    def fail(self) -> None:
        """Count a request that it failed at."""
        self.requests += 1
        self.errors += 1


class Tally:
    """Counts of the old and the new version.

    Args:
        latency_ratio: Times the old version's 95th percentile beyond which an answer is slow.
    """

    def __init__(self, latency_ratio: float) -> None:
        self._ratio = latency_ratio
        self.old = Side()
        self.new = Side()

    def seen(self, deaths: int) -> Seen:
        """Sum up."""
        timed = slow = 0
        for size, times in self.new.times.items():
            before = self.old.times.get(size, ())
            if len(before) >= LEAST_OLD:
                limit = self._ratio * percentile(before) + SLACK_S
                timed += len(times)
                slow += sum(seconds > limit for seconds in times)
        old, new = self.old, self.new
        return Seen(new.requests, new.errors, old.requests, old.errors, timed, slow, deaths)

    def next_step(self) -> None:
        """Begin anew; the old version's times stay, for it answers less and less."""
        self.new = Side()
        self.old = Side(times=self.old.times)


@dataclass(eq=False, slots=True)
class Shadow:
    """How the answers of a shadow compare."""

    texts: int = 0
    agreeing: int = 0
    """Texts with the same label."""
    largest_difference: float = 0.0
    """Of a logit."""
    skipped: int = 0
    """Requests that it wasn't asked, for it was behind."""

    def compare(self, old: Sequence[Prediction], new: Sequence[Prediction]) -> tuple[int, int, float]:
        """Count the answers to one request; return texts, agreeing ones and the largest difference among them."""
        agreeing = sum(one.label == other.label for one, other in zip(old, new, strict=True))
        largest = max(logit_difference(one, other) for one, other in zip(old, new, strict=True))
        self.texts += len(old)
        self.agreeing += agreeing
        self.largest_difference = max(self.largest_difference, largest)
        return len(old), agreeing, largest


def percentile(times: Sequence[float] | deque[float]) -> float:
    """Return the 95th percentile."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, math.ceil(PERCENTILE * len(ordered)) - 1)]


def logit_difference(one: Prediction, other: Prediction) -> float:
    """Return the largest difference of a logit; what all logits of a text share cancels out in its answer."""
    if one.probabilities.keys() != other.probabilities.keys():
        return math.inf
    first, second = _centred(one), _centred(other)
    return max(abs(first[name] - second[name]) for name in first)


def _centred(prediction: Prediction) -> dict[str, float]:
    logs = {name: math.log(max(share, LEAST_SHARE)) for name, share in prediction.probabilities.items()}
    mean = sum(logs.values()) / len(logs)
    return {name: each - mean for name, each in logs.items()}
