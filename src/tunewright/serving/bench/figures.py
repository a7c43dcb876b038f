"""What a run comes to: rates, percentiles of all samples, and how busy the client itself was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from tunewright.serving.bench.samples import KINDS, OK, REJECTED, TIMED_OUT, Samples, Taken

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.serving.bench.profile import Profile

MS = 1e3
MOST_BINS = 240
SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
BUSY = 0.8
"""Share of a core beyond which the client's own queue shows in the tail."""
LATE_SHARE, LATE_MS = 0.2, 5.0
"""Share of the latency, both at p99, that may be the client's own lateness, and milliseconds that always may."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of all samples, in milliseconds."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    largest: float


@dataclass(frozen=True, slots=True)
class Moment:
    """A short stretch of a run."""

    at_s: float
    ok: int
    rejected: int
    errors: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """One run."""

    loop: Literal["open", "closed"]
    offered_per_s: float | None
    """Requests that arrived; None for a closed loop."""
    answered_per_s: float
    """Right answers, whenever they came."""
    goodput_per_s: float
    """Right answers within the bound on latency; without a bound, all of them."""
    requests: int
    outcomes: Mapping[str, int]
    latency_ms: Percentiles | None
    """From the scheduled arrival to the last byte: right answers, and those that timed out, at their timeout."""
    rejected_ms: Percentiles | None
    """How long those that were turned away with 429 waited for that."""
    first_token_ms: Percentiles | None
    """From the scheduled arrival; of streams."""
    token_gap_ms: Percentiles | None
    tokens_per_s: float | None
    over_time: tuple[Moment, ...]
    client_lag_p99_ms: float | None
    """How late the client itself sent."""
    client_cpu_share: float
    """Of one core, the busiest process."""
    client_cpu_us: float
    """Microseconds a request."""
    connections_opened: int
    bound_p99_ms: float | None = None

    @property
    def error_share(self) -> float:
        """Share of the requests that got no right answer."""
        return 1 - self.outcomes["ok"] / self.requests if self.requests else 0.0

    @property
    def holds_bound(self) -> bool | None:
        """Whether the 99th percentile keeps the bound; None where there is none."""
        if self.bound_p99_ms is None:
            return None
        return self.latency_ms is not None and self.latency_ms.p99 <= self.bound_p99_ms

    @property
    def client_is_busy(self) -> bool:
        """Whether the client, or the machine that it shares, may have been the bottleneck."""
        lag, latency = self.client_lag_p99_ms or 0.0, self.latency_ms
        is_late = latency is not None and lag > max(LATE_MS, LATE_SHARE * latency.p99)
        return is_late or self.client_cpu_share > BUSY

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {**asdict(self), "error_share": self.error_share, "holds_bound": self.holds_bound}


def figures(profile: Profile, samples: Samples, parts: Sequence[Taken]) -> Figures:
    """Work a run out.

    Args:
        profile: What was done.
        samples: Of all processes, joined.
        parts: What each of them took.
    """
    outcome = samples.column("outcome").astype(int)
    scheduled, ended = samples.column("scheduled"), samples.column("ended")
    latency = ended - scheduled
    ok = outcome == OK
    timely = ok if profile.p99_ms is None else ok & (latency * MS <= profile.p99_ms)
    tokens = samples.column("tokens")
    counts_tokens = profile.streams or profile.counts_tokens
    lags = samples.column("lags")
    requests = sum(each.use.requests for each in parts)
    return Figures(
        loop="closed" if profile.rate == "max" else "open",
        offered_per_s=None if profile.rate == "max" else len(outcome) / profile.duration_s,
        answered_per_s=float(ok.sum()) / profile.duration_s,
        goodput_per_s=float(timely.sum()) / profile.duration_s,
        requests=len(outcome),
        outcomes={kind: int((outcome == number).sum()) for number, kind in enumerate(KINDS)},
        latency_ms=percentiles(latency[ok | (outcome == TIMED_OUT)]),
        rejected_ms=percentiles(latency[outcome == REJECTED]),
        first_token_ms=percentiles((samples.column("first") - scheduled)[ok & (tokens > 0)])
        if profile.streams
        else None,
        token_gap_ms=percentiles(samples.column("gaps")),
        tokens_per_s=float(tokens[ok].sum()) / profile.duration_s if counts_tokens else None,
        over_time=_over_time(profile, scheduled, latency, outcome),
        client_lag_p99_ms=percentiles(lags).p99 if len(lags) else None,  # type: ignore[union-attr]
        client_cpu_share=max(each.use.cpu_s / max(each.use.wall_s, 1e-9) for each in parts),
        client_cpu_us=sum(each.use.cpu_s for each in parts) / max(requests, 1) * 1e6,
        connections_opened=sum(each.use.connections for each in parts),
        bound_p99_ms=profile.p99_ms,
    )


def percentiles(seconds: npt.NDArray[np.float64]) -> Percentiles | None:
    """Return the percentiles of durations; each is a duration that was measured, never one between two."""
    import numpy as np

    if not len(seconds):
        return None
    p50, p90, p95, p99, p999 = (
        float(each) for each in np.quantile(seconds, SHARES, method="inverted_cdf") * MS
    )
    mean, largest = float(seconds.mean()) * MS, float(seconds.max()) * MS
    return Percentiles(len(seconds), mean, p50, p90, p95, p99, p999, largest)


def _over_time(
    profile: Profile,
    scheduled: npt.NDArray[np.float64],
    latency: npt.NDArray[np.float64],
    outcome: npt.NDArray[np.int_],
) -> tuple[Moment, ...]:
    """Cut the run into stretches of a second, longer where it has many."""
    import numpy as np

    width = max(1.0, profile.duration_s / MOST_BINS)
    place = (np.maximum(scheduled - profile.warm_up_s, 0) // width).astype(int)
    moments = []
    for number in np.unique(place):
        here = place == number
        kinds = outcome[here]
        waits = percentiles(latency[here & (outcome == OK)])
        ok, rejected = int((kinds == OK).sum()), int((kinds == REJECTED).sum())
        moments.append(
            Moment(
                at_s=float(number * width),
                ok=ok,
                rejected=rejected,
                errors=len(kinds) - ok - rejected,
                p50_ms=None if waits is None else waits.p50,
                p99_ms=None if waits is None else waits.p99,
            )
        )
    return tuple(moments)
