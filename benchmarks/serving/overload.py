"""Three times what a server can answer: what it still answers, how it turns the rest away, and how it is afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import requests

from serving.measuring import Load, Settings, checked, load

if TYPE_CHECKING:
    from serving.contenders import Contender
    from serving.prepare import Prepared
    from serving.running import Running

FACTOR = 3.0
CONNECTIONS = 4096
"""So many may wait at the server before the client itself holds the others back."""
TIMEOUT_S = 30.0
"""The server's own: what it took in, it may still answer."""
PROBE_GAP_S, LOOK_GAP_S = 0.1, 1.0
PROBE_TIMEOUT_S = 10.0
SETTLE_S = 1.0
AFTERWARDS_S, STEADY_S = 20.0, 3.0
"""How long the plain requests go on after the load, and after all is well again."""


@dataclass(frozen=True, slots=True)
class Overload:
    """What came of too much load."""

    words: tuple[str, ...]
    """Settings of the server that were changed."""
    at_capacity: Load
    over: Load
    rejected_p99_ms: float | None
    """How long those that were turned away waited for that."""
    rejected_share: float
    idle_mib: float
    """After a run at capacity, before the load."""
    peak_mib: float
    after_mib: float
    recovery_s: float | None
    """From the last arrival to the first plain request from which on all were answered within the bound."""

    @property
    def kept_share(self) -> float:
        """Right answers under too much load over those at capacity."""
        return self.over.answered_per_s / self.at_capacity.answered_per_s


class _Watch:
    """Looks at a server all the while: its memory, and how a plain request fares."""

    def __init__(self, server: Running, text: str) -> None:
        self.memory: list[float] = []
        self.probes: list[tuple[float, float]] = []
        """When a plain request was asked, and how long its right answer took; infinite without one."""
        self._server, self._text = server, text
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(self._probe, PROBE_GAP_S), daemon=True),
            threading.Thread(target=self._repeat, args=(self._look, LOOK_GAP_S), daemon=True),
        ]

    def __enter__(self) -> _Watch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(PROBE_TIMEOUT_S)

    def wait(self, ended: float, bound_s: float) -> None:
        """Wait until plain requests have been answered within the bound for a while, or for too long."""
        while (now := time.perf_counter()) < ended + AFTERWARDS_S:
            recovered = self.recovery_s(ended, bound_s)
            if recovered is not None and now > ended + recovered + STEADY_S:
                return
            time.sleep(PROBE_GAP_S)

    def recovery_s(self, ended: float, bound_s: float) -> float | None:
        """Return how long after a moment plain requests were answered within the bound again, and stayed so."""
        later = [(asked, took) for asked, took in list(self.probes) if asked >= ended]
        slow = [at for at, (_, took) in enumerate(later) if took > bound_s]
        first = slow[-1] + 1 if slow else 0
        return sum(later[first]) - ended if first < len(later) else None

    def _repeat(self, work: Callable[[], None], gap: float) -> None:
        while not self._ended.wait(gap):
            work()

    def _look(self) -> None:
        self.memory.append(self._server.memory_mib())

    def _probe(self) -> None:
        asked = time.perf_counter()
        try:
            self._server.ask(self._text, timeout_s=PROBE_TIMEOUT_S)
            took = time.perf_counter() - asked
        except requests.RequestException:
            took = float("inf")
        self.probes.append((asked, took))


def overload(
    contender: Contender,
    prepared: Prepared,
    settings: Settings,
    *,
    rate: float,
    seconds: float,
    words: Sequence[str] = (),
) -> Overload:
    """Ask a server at what it can answer, then at three times that.

    Args:
        contender: The server.
        prepared: What it serves.
        settings: Of the load.
        rate: What it can answer, a second.
        seconds: How long the overload lasts.
        words: Settings of the server, such as ``serving.queue_s=0.05``.
    """
    changed = replace(contender, command=(*contender.command, *words))
    with checked(changed, prepared) as server:
        calm, _ = load(server, settings.profile(changed, rate=rate))
        time.sleep(SETTLE_S)
        idle = server.memory_mib()
        profile = settings.profile(
            changed, rate=FACTOR * rate, duration_s=seconds, connections=CONNECTIONS, timeout_s=TIMEOUT_S
        )
        with _Watch(server, prepared.first_texts(1)[0]) as watch:
            began = time.perf_counter()
            over, run = load(server, profile)
            ended = began + profile.total_s
            watch.wait(ended, settings.bound_ms / 1e3)
        figures = run.figures
        return Overload(
            words=tuple(words),
            at_capacity=calm,
            over=over,
            rejected_p99_ms=figures.rejected_ms.p99 if figures.rejected_ms else None,
            rejected_share=figures.outcomes["rejected_429"] / max(1, figures.requests),
            idle_mib=idle,
            peak_mib=max(watch.memory, default=idle),
            after_mib=server.memory_mib(),
            recovery_s=watch.recovery_s(ended, settings.bound_ms / 1e3),
        )
