"""The batcher and the queue's bound, as pure logic under a clock of our own."""

from __future__ import annotations

import contextlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.serving.admission import MOST_RETRY_SECONDS, Admission, Shares
from tunewright.serving.batcher import ALWAYS_LIKE, LIKE, MOST_GONE, PATIENCE_S, Batcher, Row
from tunewright.serving.faults import ServingError

BUDGET, ROWS, WAIT = 256, 16, 0.002


def batcher() -> Batcher:
    return Batcher(token_budget=BUDGET, max_rows=ROWS, max_wait_s=WAIT)


def row(tokens: int, caller: str = "a", arrival: float = 0.0) -> Row:
    return Row([1] * tokens, caller, arrival)


def drained(one: Batcher, now: float = 1e6) -> list[list[Row]]:
    """Take all batches, one at a time."""
    found = []
    while one.rows:
        found.append(one.take(now, busy=0, lanes=1))
        assert found[-1], "rows wait, the engine is idle, and nothing is sent"
    return found


rows_strategy = st.lists(
    st.tuples(st.integers(1, 400), st.sampled_from("abc"), st.floats(0, 10), st.booleans()), max_size=120
)


@settings(max_examples=150, deadline=None)
@given(rows_strategy)
def test_every_row_leaves_once_in_a_batch_of_like_lengths_within_the_budget(given_rows):
    one = batcher()
    kept = []
    for tokens, caller, arrival, stays in sorted(given_rows, key=lambda each: each[2]):
        new = row(tokens, caller, arrival)
        one.add(new)
        if stays:
            kept.append(new)
        else:
            one.drop(new)
    assert (one.rows, one.tokens) == (len(kept), sum(each.tokens for each in kept))
    batches = drained(one)
    assert Counter(map(id, kept)) == Counter(id(each) for batch in batches for each in batch)
    for batch in batches:
        low, high = min(each.tokens for each in batch), max(each.tokens for each in batch)
        assert len(batch) <= ROWS
        assert len(batch) == 1 or len(batch) * high <= BUDGET
        assert high <= LIKE * low or high - low <= ALWAYS_LIKE
    assert (one.rows, one.tokens, one._gone, one._lines, one._rows_of) == (0, 0, 0, {}, {})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 250), st.floats(0, 0.01)), min_size=1, max_size=60),
    st.integers(1, 3),
)
def test_no_row_is_overtaken_by_one_of_its_caller_that_came_after_its_time(arrivals, lanes):
    one = batcher()
    now, waiting, passed = 0.0, [], {}
    for tokens, gap in arrivals:
        now += gap
        new = row(tokens, "a", now)
        one.add(new)
        waiting.append(new)
        for taken in one.take(now, busy=lanes - 1, lanes=lanes):
            waiting.remove(taken)
            for other in waiting:
                if taken.arrival > other.due:
                    passed[id(other)] = passed.get(id(other), 0) + 1
    assert all(count < 2 * ROWS for count in passed.values())


@pytest.fixture(scope="module", params=["openvino:fp32", "openvino:int8"])
def scorer(copies, request):
    from tunewright.engines.copies import open_classifier

    opened = open_classifier(copies(request.param), threads=1)
    yield opened
    opened.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text("abcdefgh ", max_size=120), min_size=1, max_size=30))
def test_an_answer_does_not_depend_on_the_batch(scorer, texts):
    one = batcher()
    for at, ids in enumerate(scorer.encode(texts)):
        one.add(Row(ids, "a", 0.0, index=at))
    alone = np.concatenate([scorer.logits([text]) for text in texts])
    for batch in drained(one):
        logits, _ = scorer.score([each.ids for each in batch])
        assert np.abs(logits - alone[[each.index for each in batch]]).max() < 1e-4


def test_a_lone_request_is_sent_at_once():
    one = batcher()
    one.add(row(10, arrival=5.0))
    assert len(one.take(5.0, busy=0, lanes=2)) == 1


def test_while_others_keep_coming_a_row_waits_for_them_but_never_beyond_its_time():
    one = batcher()
    for at in range(15):
        one.add(row(10, arrival=1 + at * 0.00005))
    now = 1.00075
    assert one.take(now, busy=1, lanes=2) == []
    until = one.wake_at(now, busy=1, lanes=2)
    assert until == pytest.approx(1 + WAIT)
    assert len(one.take(until, busy=1, lanes=2)) == 15


def test_a_row_does_not_wait_when_nobody_else_is_expected():
    one = batcher()
    for at in range(5):
        one.add(row(10, arrival=float(at)))
    assert len(one.take(4.0, busy=1, lanes=2)) == 5


def test_a_full_batch_does_not_wait_and_one_is_kept_ready_for_a_busy_engine():
    one = batcher()
    for at in range(60):
        one.add(row(10, arrival=1 + at * 1e-5))
    assert len(one.take(1.001, busy=1, lanes=2)) == ROWS
    assert len(one.take(1.001, busy=2, lanes=2)) == ROWS
    assert one.take(1.001, busy=3, lanes=2) == []


def test_short_texts_pass_a_line_of_long_ones():
    one = batcher()
    for _ in range(100):
        one.add(row(200, arrival=1.0))
    one.add(row(5, arrival=1.1))
    assert [each.tokens for each in one.take(1.11, busy=0, lanes=1)] == [5]


def test_long_texts_get_their_turn_however_many_short_ones_come():
    one = batcher()
    long = row(200, arrival=0.0)
    one.add(long)
    now = 0.0
    for _ in range(2000):
        now += 0.001
        for _ in range(ROWS):
            one.add(row(8, arrival=now))
        if long in one.take(now, busy=0, lanes=1):
            break
    assert now <= PATIENCE_S * 200 + 0.01


def test_one_caller_with_a_thousand_texts_does_not_hold_another_up():
    one = batcher()
    for _ in range(1000):
        one.add(row(16, "greedy", arrival=0.0))
    for _ in range(20):
        one.take(1.0, busy=0, lanes=1)
    one.add(row(16, "small", arrival=1.0))
    assert "small" in [each.caller for each in one.take(1.0, busy=0, lanes=1)]


def test_callers_who_both_have_much_waiting_get_the_same():
    one = batcher()
    for _ in range(500):
        one.add(row(16, "a"))
        one.add(row(8, "b"))
        one.add(row(8, "b"))
    had = Counter()
    for _ in range(20):
        for each in one.take(1.0, busy=0, lanes=1):
            had[each.caller] += each.tokens
    assert had["a"] == pytest.approx(had["b"], rel=0.1)


def test_rows_that_are_dropped_do_not_pile_up():
    one = batcher()
    one.add(row(9))
    for _ in range(5 * MOST_GONE):
        gone = row(10)
        one.add(gone)
        one.drop(gone)
    assert sum(len(line) for lines in one._lines.values() for line in lines.values()) <= MOST_GONE + 2
    assert [len(batch) for batch in drained(one)] == [1]


def test_shares_of_callers_who_have_left_are_forgotten():
    shares = Shares()
    shares.enter("stays")
    for at in range(5000):
        shares.enter(f"caller {at}")
        shares.charge(f"caller {at}", 1)
        shares.leave(f"caller {at}")
        shares.charge("stays", 2)
        shares.least(["stays"])
    assert len(shares._had) < 1500


def test_a_full_queue_refuses_with_a_time_that_its_pace_suggests():
    one = Admission(1000)
    one.answered(5000, now=9.9)
    one.admit("a", 700, now=10.0)
    with pytest.raises(ServingError) as refused:
        one.admit("a", 700, now=10.0)
    assert refused.value.status == 429
    assert refused.value.headers["retry-after"] == "1"
    one.leave("a", 700)
    one.admit("a", 700, now=10.0)


def fill(queue: Admission, caller: str) -> None:
    while True:
        queue.admit(caller, 10, now=0.0)


def test_a_caller_who_fills_the_queue_leaves_room_for_others():
    one = Admission(1000)
    with pytest.raises(ServingError) as refused:
        fill(one, "greedy")
    assert refused.value.headers["retry-after"] == str(MOST_RETRY_SECONDS)
    assert 750 <= one.waiting <= 810
    one.admit("small", 10, now=0.0)


def test_a_request_that_is_larger_than_the_queue_is_let_in_when_nothing_waits():
    one = Admission(100)
    one.admit("a", 500, now=0.0)
    with pytest.raises(ServingError):
        one.admit("b", 1, now=0.0)
    one.leave("a", 500)
    one.admit("b", 1, now=0.0)


def test_no_more_waits_than_the_engine_can_do_in_time():
    one = Admission(100_000, seconds=1.0)
    one.admit("a", 5000, now=0.0)  # nothing is known of its speed yet
    one.leave("a", 5000)
    for _ in range(20):
        one.worked(10, 0.005, lanes=2)  # a quiet server: single texts, 4,000 tokens a second
    with pytest.raises(ServingError):
        fill(one, "a")
    assert 3000 < one.waiting <= 4000
    one.worked(1000, 0.1, lanes=2)  # full batches: 20,000
    with pytest.raises(ServingError):
        fill(one, "a")
    assert 15_000 < one.waiting <= 20_000
    for _ in range(200):
        one.worked(100, 0.1, lanes=2)  # another process takes the cores away: 2,000
    one.leave("a", one.waiting - 1000)
    with pytest.raises(ServingError):
        fill(one, "a")
    assert one.waiting < 2200


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 60), st.booleans()), max_size=200))
def test_the_queue_is_never_fuller_than_it_may_be(steps):
    one = Admission(200)
    held = []
    for caller, tokens, leaves in steps:
        if leaves and held:
            one.leave(*held.pop(0))
        else:
            with contextlib.suppress(ServingError):
                one.admit(caller, tokens, now=0.0)
                held.append((caller, tokens))
        assert one.waiting == sum(tokens for _, tokens in held) <= 200
