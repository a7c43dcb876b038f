"""The highest rate that a server keeps up with: the 99th percentile under a bound, and no request turned away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunewright.serving.bench.benching import Run
    from tunewright.serving.bench.figures import Figures

PRECISION = 0.05
"""Share of the rate within which the answer is sought."""
MOST_RUNS = 12
MOST_ERRORS = 0.001
"""Share of the requests that may fail."""
HEADROOM = 1.1
"""The first try of the search stands this much above the throughput of a closed loop."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One rate that was tried."""

    rate: float
    run: Run

    @property
    def figures(self) -> Figures:
        """What it came to."""
        return self.run.figures

    @property
    def holds(self) -> bool:
        """Whether the server kept up."""
        return self.figures.holds_bound is True and self.figures.error_share <= MOST_ERRORS


@dataclass(frozen=True, slots=True)
class Found:
    """What the search came to."""

    rate: float | None
    """The highest rate that held; None where none did."""
    tried: tuple[Tried, ...]
    """In the order in which they were tried."""

    @property
    def run(self) -> Run | None:
        """The run at that rate."""
        return next((each.run for each in self.tried if each.rate == self.rate), None)


def search(run: Callable[[float], Run], *, throughput: float, told: Callable[[Tried], None]) -> Found:
    """Halve the space between a rate that holds and one that doesn't.

    Args:
        run: Measures one rate.
        throughput: What a closed loop reached: about the most that can hold.
        told: Called after each try.
    """
    tried: list[Tried] = []

    def try_(rate: float) -> bool:
        tried.append(Tried(rate, run(rate)))
        told(tried[-1])
        return tried[-1].holds

    low, high = 0.0, max(throughput, 1e-3) * HEADROOM
    while try_(high) and len(tried) < MOST_RUNS:
        low, high = high, high * 2
    if tried[-1].holds:
        return Found(high, tuple(tried))
    while len(tried) < MOST_RUNS and high - low > PRECISION * high:
        middle = (low + high) / 2
        if try_(middle):
            low = middle
        else:
            high = middle
    return Found(low or None, tuple(tried))
