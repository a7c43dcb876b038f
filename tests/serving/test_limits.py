"""Rate limits: never more than the limit, and Retry-After is neither too early nor too late."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tunewright.serving.limits import RateLimiter

SLACK = 1e-6
"""Rounding of sums of floats."""
steps = st.lists(st.tuples(st.floats(0, 30), st.integers(0, 50)), max_size=60)
limits = st.integers(1, 200)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def ask(limiter, tokens=0, requests=None, tokens_per_minute=None):
    return limiter.admit(
        "ci", requests_per_minute=requests, tokens_per_minute=tokens_per_minute, tokens=tokens
    )


@given(steps, limits, limits)
def test_no_window_gets_more_than_a_minutes_worth_and_its_own(steps, requests, tokens_per_minute):
    clock, admitted = Clock(), []
    limiter = RateLimiter(clock)
    for wait, tokens in steps:
        clock.now += wait
        if ask(limiter, tokens, requests, tokens_per_minute).is_allowed:
            admitted.append((clock.now, tokens))
    for start, (begun, _) in enumerate(admitted):
        for end in range(start, len(admitted)):
            window = (admitted[end][0] - begun) / 60
            inside = admitted[start : end + 1]
            assert len(inside) <= requests * (1 + window) + SLACK
            assert sum(tokens for _, tokens in inside) <= tokens_per_minute * (1 + window) + SLACK


@given(steps, limits, limits)
def test_retry_after_is_long_enough_and_not_a_second_too_long(steps, requests, tokens_per_minute):
    clock = Clock()
    limiter = RateLimiter(clock)
    for wait, tokens in steps:
        clock.now += wait
        admission = ask(limiter, tokens, requests, tokens_per_minute)
        if admission.is_allowed:
            continue
        assert admission.limit in ("requests", "tokens")
        if math.isinf(admission.wait_s):
            assert tokens > tokens_per_minute
            assert admission.retry_after is None
            continue
        assert admission.wait_s <= admission.retry_after < admission.wait_s + 1 + SLACK
        clock.now += max(0.0, admission.wait_s - 1e-3)
        assert admission.wait_s < 2e-3 or not ask(limiter, tokens, requests, tokens_per_minute).is_allowed
        clock.now += 2e-3
        assert ask(limiter, tokens, requests, tokens_per_minute).is_allowed


@given(st.integers(0, 100), st.integers(0, 300))
def test_what_was_expected_and_not_used_comes_back(expected, used):
    clock = Clock()
    limiter = RateLimiter(clock)
    assert ask(limiter, expected, tokens_per_minute=100).is_allowed
    limiter.settle("ci", expected=expected, used=used)
    assert limiter.remaining("ci", "tokens", 100) == max(0, 100 - used)
    clock.now += 60 * used / 100 + 1e-6
    assert limiter.remaining("ci", "tokens", 100) == 100


def test_a_refused_request_takes_nothing():
    limiter = RateLimiter(Clock())
    assert not ask(limiter, 11, requests=5, tokens_per_minute=10).is_allowed
    assert limiter.remaining("ci", "requests", 5) == 5
    assert limiter.remaining("ci", "tokens", 10) == 10


def test_keys_do_not_share():
    limiter = RateLimiter(Clock())
    for name in ("ada", "ben"):
        asked = {"requests_per_minute": 1, "tokens_per_minute": None, "tokens": 0}
        assert limiter.admit(name, **asked).is_allowed
        assert limiter.admit(name, **asked).retry_after == 60


def test_without_limits_everything_passes():
    limiter = RateLimiter(Clock())
    assert all(ask(limiter, 10**9).is_allowed for _ in range(1000))


def test_a_limit_that_was_lowered_holds_at_once():
    limiter = RateLimiter(Clock())
    assert ask(limiter, requests=1000).is_allowed
    assert [ask(limiter, requests=2).is_allowed for _ in range(3)] == [True, True, False]


def test_a_clock_that_runs_backwards_gives_nothing_away():
    clock = Clock()
    limiter = RateLimiter(clock)
    assert ask(limiter, requests=1).is_allowed
    clock.now -= 500
    assert not ask(limiter, requests=1).is_allowed
    clock.now += 505
    assert not ask(limiter, requests=1).is_allowed


def test_keys_that_are_gone_are_forgotten():
    limiter = RateLimiter(Clock())
    ask(limiter, requests=1)
    limiter.forget(set())
    assert ask(limiter, requests=1).is_allowed
