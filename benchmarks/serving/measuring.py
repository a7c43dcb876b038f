"""What is measured of a server: what it bears, how it answers at fixed loads, what it costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.prepare import CHECKED, Prepared
from serving.running import Running, check, running
from tunewright.serving.bench.benching import PAUSE_S, Bench, Run
from tunewright.serving.bench.profile import Profile
from tunewright.serving.bench.search import Tried, search

if TYPE_CHECKING:
    from serving.contenders import Contender

SETTLE_S = 1.0
THOUSAND = 1000.0
CLOSED_CONNECTIONS = 32
"""Of the closed loop that a search begins with: an answer each, at once."""
OPEN_CONNECTIONS = 256
"""Of scheduled arrivals: they must not wait for each other."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how hard."""

    bound_ms: float
    duration_s: float
    warm_up_s: float
    timeout_s: float
    texts: str

    def profile(self, contender: Contender, **changes: Any) -> Profile:  # noqa: ANN401
        """Return the load on a server."""
        given = {
            "path": contender.path,
            "body": contender.body,
            "texts": Path(self.texts),
            "duration_s": self.duration_s,
            "warm_up_s": self.warm_up_s,
            "timeout_s": self.timeout_s,
            "p99_ms": self.bound_ms,
            "connections": OPEN_CONNECTIONS,
        }
        return Profile(**{**given, **changes})


@dataclass(frozen=True, slots=True)
class Load:
    """One run of the client against a server."""

    rate: float
    answered_per_s: float
    goodput_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    error_share: float
    outcomes: dict[str, int]
    cpu_s_per_1000: float | None
    """Of the server's processes, for each thousand requests sent."""
    client_late_ms: float | None
    client_is_busy: bool


@dataclass(frozen=True, slots=True)
class Visit:
    """What one life of a server showed."""

    cold_start_s: float
    idle_mib: float
    loaded_mib: float
    closed_per_s: float | None = None
    """Right answers a second to a closed loop."""
    capacity: Load | None = None
    """At the highest rate that held the bound; None where none did, or none was sought."""
    tried: tuple[tuple[float, bool], ...] = ()
    fixed: tuple[Load, ...] = ()


def seek(contender: Contender, prepared: Prepared, settings: Settings) -> Visit:
    """Start a server and seek the highest rate that holds the bound."""
    with checked(contender, prepared) as server:
        idle = _idle(server)
        closed, _ = load(server, settings.profile(contender, rate="max", connections=CLOSED_CONNECTIONS))
        loads: dict[float, Load] = {}

        def one(rate: float) -> Run:
            time.sleep(PAUSE_S)
            loads[rate], run = load(server, settings.profile(contender, rate=rate))
            return run

        found = search(one, throughput=closed.answered_per_s, told=_silent)
        return Visit(
            cold_start_s=server.cold_start_s,
            idle_mib=idle,
            loaded_mib=server.memory_mib(),
            closed_per_s=closed.answered_per_s,
            capacity=None if found.rate is None else loads[found.rate],
            tried=tuple((each.rate, each.holds) for each in found.tried),
        )


def at_rates(contender: Contender, prepared: Prepared, settings: Settings, rates: tuple[float, ...]) -> Visit:
    """Start a server and measure it at fixed loads, the lowest first."""
    with checked(contender, prepared) as server:
        idle = _idle(server)
        fixed = []
        for rate in sorted(rates):
            fixed.append(load(server, settings.profile(contender, rate=rate))[0])
            time.sleep(PAUSE_S)
        return Visit(server.cold_start_s, idle, server.memory_mib(), fixed=tuple(fixed))


def load(server: Running, profile: Profile) -> tuple[Load, Run]:
    """Run the client once."""
    before = server.cpu_s()
    run = Bench(server.url, profile).run()
    spent = server.cpu_s() - before
    figures, latency = run.figures, run.figures.latency_ms
    sent = figures.requests * profile.total_s / profile.duration_s
    return Load(
        rate=figures.answered_per_s if profile.rate == "max" else float(profile.rate),
        answered_per_s=figures.answered_per_s,
        goodput_per_s=figures.goodput_per_s,
        p50_ms=latency.p50 if latency else None,
        p95_ms=latency.p95 if latency else None,
        p99_ms=latency.p99 if latency else None,
        error_share=figures.error_share,
        outcomes={kind: count for kind, count in figures.outcomes.items() if count},
        cpu_s_per_1000=THOUSAND * spent / sent if sent else None,
        client_late_ms=figures.client_lag_p99_ms,
        client_is_busy=figures.client_is_busy,
    ), run


@contextmanager
def checked(contender: Contender, prepared: Prepared) -> Iterator[Running]:
    """Run a server whose labels were found right."""
    texts, labels = prepared.first_texts(CHECKED), prepared.labels[contender.kind]
    with running(contender, texts[0], labels[0]) as server:
        check(server, texts, labels)
        yield server


def _idle(server: Running) -> float:
    time.sleep(SETTLE_S)
    return server.memory_mib()


def _silent(tried: Tried) -> None:
    """Say nothing of a try."""
