"""What was measured of each request, as arrays: no bucket of a histogram blurs a percentile."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

OK, REJECTED, REFUSED, FAILED, TIMED_OUT, BROKEN, UNREACHABLE, WRONG = range(8)
KINDS = ("ok", "rejected_429", "http_4xx", "http_5xx", "timeout", "broken", "unreachable", "wrong")
"""By outcome; ``broken``: the connection ended within an answer; ``wrong``: an answer that isn't what was asked for."""


@dataclass(slots=True)
class Samples:
    """One entry a request, in the order in which they ended; times in seconds from the run's start."""

    scheduled: array[float] = field(default_factory=lambda: array("d"))
    """When it was to arrive; without a schedule, when it was sent."""
    sent: array[float] = field(default_factory=lambda: array("d"))
    """NaN where it never was."""
    first: array[float] = field(default_factory=lambda: array("d"))
    """When the first token came (of a stream), else the first byte; NaN where none did."""
    ended: array[float] = field(default_factory=lambda: array("d"))
    outcome: array[int] = field(default_factory=lambda: array("b"))
    tokens: array[int] = field(default_factory=lambda: array("l"))
    gaps: array[float] = field(default_factory=lambda: array("d"))
    """Seconds between two tokens of an answer, over all measured answers."""
    lags: array[float] = field(default_factory=lambda: array("d"))
    """Seconds that the client itself was late with each scheduled request."""

    def add(
        self, scheduled: float, sent: float, first: float, ended: float, outcome: int, tokens: int = 0
    ) -> None:
        """Take one request."""
        self.scheduled.append(scheduled)
        self.sent.append(sent)
        self.first.append(first)
        self.ended.append(ended)
        self.outcome.append(outcome)
        self.tokens.append(tokens)

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """Return a field as numbers."""
        import numpy as np

        return np.asarray(getattr(self, name), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class ClientUse:
    """What the client itself took: a client that is busy measures itself."""

    cpu_s: float
    wall_s: float
    requests: int
    """Warm-up included."""
    connections: int
    """Opened in all."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one client process measured."""

    samples: Samples
    use: ClientUse


def joined(parts: Sequence[Samples]) -> Samples:
    """Put the samples of several processes together."""
    whole = Samples()
    for part in parts:
        for each in fields(Samples):
            getattr(whole, each.name).extend(getattr(part, each.name))
    return whole
