"""When a new version goes on, and when it goes back: pure arithmetic on counts and an injected clock.

A version goes back when what was counted would hardly come from a good one. Each look spends a part of a fixed chance
of being wrong (``CHANCE``), and looks grow rarer as requests add up: however long a rollout takes, a version within
its bounds is sent back with that chance at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tunewright.config.serving import ServingConfig

CHANCE = 0.01
"""Of sending a version back that is within its bounds, at most; half for errors, half for slow answers."""
SLOW_SHARE = 0.05
"""Of the answers, those beyond the 95th percentile."""
FIRST_LOOK = 5
"""Requests before the first look: so many errors in a row suffice."""
GROWTH = 1.5
"""Each look waits for so many times the requests of the one before."""
MOST_DEATHS = 3
"""A worker that dies so often during a rollout is in a crash loop."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How a rollout goes on, and what ends it."""

    steps: tuple[float, ...]
    """Shares of the requests, growing; after the last one the new version stands alone."""
    step_s: float
    """Time that each lasts, at least."""
    requests: int
    """Requests that the new version must have had in it, at least."""
    error_share: float
    """Of its requests that may fail where the old version answers."""

    @classmethod
    def of(cls, settings: ServingConfig) -> Bounds:
        """Read them off the settings."""
        steps, step_s, requests = {
            "all": ((1.0,), settings.rollout_step_s, 0),
            "canary": (settings.rollout_steps, settings.rollout_step_s, settings.rollout_requests),
            "shadow": ((0.0,), math.inf, 0),
        }[settings.rollout]
        return cls(steps, step_s, requests, settings.rollout_error_share)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was counted in the present step."""

    requests: int = 0
    """That the new version was asked."""
    errors: int = 0
    """Of them, those that it failed at."""
    old_requests: int = 0
    old_errors: int = 0
    timed: int = 0
    """Answers of the new version to which the old one has like ones; of a language model, their first tokens."""
    slow: int = 0
    """Of them, those beyond the bound on the old version's 95th percentile."""
    deaths: int = 0
    """Of the new version's worker since it was opened."""
    token_timed: int = 0
    """Answers of a language model whose time for each token can be compared with the old version's."""
    token_slow: int = 0
    """Of them, those beyond the bound."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a rollout stands."""

    since: float
    """When the present step began."""
    step: int = 0
    looks: int = 0
    look_at: int = FIRST_LOOK
    """Requests at the next look."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done now."""

    what: Literal["stay", "next", "done", "back"]
    why: str = ""
    """For ``back``."""


STAY = Decision("stay")


def advance(progress: Progress, seen: Seen, bounds: Bounds, now: float) -> tuple[Progress, Decision]:
    """Look at the counts, and say how it goes on.

    Args:
        progress: Where it stands.
        seen: What was counted in this step.
        bounds: What is allowed.
        now: The time.
    """
    if seen.deaths >= MOST_DEATHS:
        return progress, Decision("back", f"its worker died {seen.deaths} times")
    is_over = seen.requests >= bounds.requests and now - progress.since >= bounds.step_s
    if is_over or seen.requests >= progress.look_at:
        level = CHANCE / 2 / len(bounds.steps) / ((progress.looks + 1) * (progress.looks + 2))
        if why := broken(seen, bounds, level):
            return progress, Decision("back", why)
        look_at = max(progress.look_at, math.ceil(seen.requests * GROWTH))
        progress = replace(progress, looks=progress.looks + 1, look_at=look_at)
    if not is_over:
        return progress, STAY
    if progress.step + 1 == len(bounds.steps):
        return progress, Decision("done")
    return Progress(now, progress.step + 1), Decision("next")


def broken(seen: Seen, bounds: Bounds, level: float) -> str:
    """Say which bound is broken; empty when none is, at a chance of being wrong for each."""
    allowed = max(bounds.error_share, (seen.old_errors + 1) / (seen.old_requests + 1 / bounds.error_share))
    if tail(seen.errors, seen.requests, allowed) < level:
        return f"{seen.errors} of {seen.requests} requests failed, allowed are {allowed:.1%}"
    if seen.token_timed:
        level /= 2  # two measures share it
    for what, slow, timed in (
        ("slower to come", seen.slow, seen.timed),
        ("slower for each token", seen.token_slow, seen.token_timed),
    ):
        if tail(slow, timed, SLOW_SHARE) < level:
            return (
                f"{slow} of {timed} answers are {what} than the bound on the old version's p95, "
                f"allowed are {SLOW_SHARE:.0%}"
            )
    return ""


def tail(hits: int, of: int, share: float) -> float:
    """Return the chance of so many hits or more when each comes with that chance (exact binomial, one-sided)."""
    if hits <= of * share:
        return 1.0  # at or below the mean: at least about a half, and never a reason
    odds = share / (1 - share) if share < 1 else math.inf
    log_choose = math.lgamma(of + 1) - math.lgamma(hits + 1) - math.lgamma(of - hits + 1)
    term = math.exp(log_choose + hits * math.log(share) + (of - hits) * math.log1p(-share))
    whole = term
    for at in range(hits, of):  # beyond the mean the terms fall
        term *= odds * (of - at) / (at + 1)
        whole += term
        if term < whole * 1e-12:
            break
    return min(whole, 1.0)
