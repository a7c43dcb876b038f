"""The load tool's pure parts: profiles, schedules, percentiles, the reading of streams, the search."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.serving.bench.arrivals import schedule
from tunewright.serving.bench.connection import Connection, Target
from tunewright.serving.bench.figures import percentiles
from tunewright.serving.bench.processes import parts_of
from tunewright.serving.bench.profile import Profile, encode_requests, load_profile, names, read_texts
from tunewright.serving.bench.samples import BROKEN, OK, WRONG
from tunewright.serving.bench.search import PRECISION, search
from tunewright.support.errors import InputError


@pytest.mark.parametrize("name", names())
def test_every_packaged_profile_makes_requests(name):
    profile = load_profile(name)
    request = encode_requests("http://127.0.0.1:8000/base/", profile, ["you have won"])[0]
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(f"POST /base{profile.path} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n".encode())
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"you have won" in body
    assert b"{" + b"text}" not in body
    json.loads(body)
    assert len(read_texts(profile)) > 100


def test_a_text_is_never_taken_for_a_template():
    profile = Profile(path="/x", body={"a": ["{text}", "{model}"], "{text}": 1}, model="m")
    body = encode_requests("http://x", profile, ["{model}"])[0].partition(b"\r\n\r\n")[2]
    assert json.loads(body) == {"a": ["{model}", "m"], "{text}": 1}


def test_a_model_that_was_not_named_is_left_out():
    profile = Profile(path="/x", body={"a": ["{text}", "{model}"], "model": "{model}"})
    body = encode_requests("http://x", profile, ["{model}"])[0].partition(b"\r\n\r\n")[2]
    assert json.loads(body) == {"a": ["{model}"]}


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("clasify", {}, "did you mean 'classify'"),
        ("classify", {"rate": "fast"}, "rate"),
        ("classify", {"rate": 0.0}, "rate"),
        ("classify", {"rate": 1e9}, "rate"),
        ("classify", {"rate": 1e5, "duration_s": 3600.0}, "5,000,000 requests"),
        ("classify", {"duration_s": 1e9}, "duration_s"),
        ("classify", {"headers": {"X": "a\r\nHost: b"}}, "is no header"),
        ("classify", {"path": "no"}, "path"),
        ("classify", {"texts": "nowhere.txt"}, "nowhere.txt: can't be read"),
    ],
)
def test_what_can_not_be_used_is_one_clear_line(name, changes, says):
    with pytest.raises(InputError, match=says):
        read_texts(load_profile(name, **changes))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "is not valid YAML"),
        ("- a", "no mapping"),
        ("path: /x\nbody: {}\nrates: 1", "did you mean 'rate'"),
    ],
)
def test_a_broken_profile_names_its_fault(tmp_path, text, says):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        load_profile(str(path))


@settings(max_examples=30)
@given(st.floats(1, 500), st.floats(0.5, 20), st.sampled_from(["poisson", "constant"]), st.integers(0, 100))
def test_arrivals_keep_the_rate_and_the_time(rate, seconds, kind, seed):
    moments = schedule(rate, seconds, kind=kind, seed=seed)
    assert (np.diff(moments) >= 0).all()
    assert not len(moments) or 0 <= moments[0] <= moments[-1] <= seconds
    spread = 1 if kind == "constant" else 6 * math.sqrt(rate * seconds) + 1
    assert abs(len(moments) - rate * seconds) <= spread
    assert (schedule(rate, seconds, kind=kind, seed=seed) == moments).all()


def test_poisson_gaps_are_exponential():
    gaps = np.diff(schedule(100, 200, kind="poisson", seed=1))
    assert gaps.mean() == pytest.approx(0.01, rel=0.05)
    assert gaps.std() == pytest.approx(0.01, rel=0.05)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300))
def test_a_percentile_is_a_duration_that_was_measured(seconds):
    found = percentiles(np.array(seconds))
    ordered = sorted(seconds)
    assert found.p99 == pytest.approx(ordered[math.ceil(0.99 * len(ordered)) - 1] * 1e3)
    assert found.p50 <= found.p90 <= found.p95 <= found.p99 <= found.p999 <= found.largest


@given(st.integers(1, 9), st.integers(1, 50), st.floats(1, 1000))
def test_processes_share_rate_and_connections(processes, connections, rate):
    parts = parts_of(Profile(path="/x", body={}, rate=rate, processes=processes, connections=connections))
    assert sum(part.connections for part in parts) == connections
    assert all(part.connections >= 1 for part in parts)
    assert sum(part.rate for part in parts) == pytest.approx(rate)
    assert len({part.seed for part in parts}) == len(parts)


class Wire:
    """The transport of a connection that no network stands behind."""

    def is_closing(self):
        return False

    def write(self, data):
        pass

    def abort(self):
        pass


def read(pieces, *, streams=False, counts_tokens=False):
    """Let a connection read an answer in these pieces, a second apart."""
    now = iter(range(10_000))
    connection = Connection(Target("x", 80, False, streams, counts_tokens), lambda: next(now))
    connection.connection_made(Wire())
    connection._waiting = SimpleNamespace(done=lambda: False, set_result=lambda _: None)
    answer = connection._answer
    for piece in pieces:
        if connection._waiting is not None:
            connection.data_received(piece)
    return answer


def stream_bytes(events, ending=b"\n\n"):
    body = b"".join(
        b"data: " + (each if isinstance(each, bytes) else json.dumps(each).encode()) + ending
        for each in events
    )
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:50], body[50:]) if part)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def said(text):
    return {"choices": [{"delta": {"content": text}}]}


@given(
    st.lists(st.text(min_size=1, max_size=8), max_size=8),
    st.lists(st.integers(0, 900), max_size=20),
    st.booleans(),
)
def test_tokens_are_counted_however_the_bytes_are_cut(texts, cuts, windows):
    whole = stream_bytes([said(""), *map(said, texts), b"[DONE]"], b"\r\n\r\n" if windows else b"\n\n")
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    answer = read([whole[a:b] for a, b in pairwise(edges)], streams=True)
    assert answer.outcome == OK
    assert answer.tokens == len(texts)
    assert len(answer.gaps) == max(0, len(texts) - 1)
    assert math.isnan(answer.first) == (not texts)


@pytest.mark.parametrize("event", [b"{", b"[]", b'"x"', b"null", {"error": {}}, {"choices": None}])
def test_an_event_that_is_none_makes_the_answer_wrong(event):
    assert read([stream_bytes([said("a"), event, b"[DONE]"])], streams=True).outcome == WRONG


@pytest.mark.parametrize(
    ("body", "tokens"),
    [(b'{"usage": {"completion_tokens": 7}}', 7), (b"{}", 0), (b"{", 0), (b"[]", 0), (b'{"usage": null}', 0)],
)
def test_tokens_are_read_from_the_usage(body, tokens):
    answer = read([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body], counts_tokens=True)
    assert (answer.outcome, answer.tokens) == (OK, tokens)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_answer_harm_nobody(junk):
    answer = read([junk])
    assert answer.outcome == BROKEN or junk.startswith(b"HTTP/")


def test_an_interim_answer_is_not_the_answer():
    answer = read([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
    assert (answer.outcome, answer.status) == (OK, 200)


def run_of(holds):
    figures = SimpleNamespace(holds_bound=holds, error_share=0.0)
    return SimpleNamespace(figures=figures)


@given(st.floats(0.1, 1e5), st.floats(0.1, 4))
def test_the_search_ends_near_the_capacity(capacity, off):
    tried = []
    found = search(lambda rate: run_of(rate <= capacity), throughput=capacity * off, told=tried.append)
    assert list(found.tried) == tried
    assert len(tried) <= 12
    assert found.rate <= capacity
    assert found.rate >= capacity * (1 - 2 * PRECISION)
    assert found.run is not None


def test_a_search_in_which_nothing_holds_says_so():
    found = search(lambda _: run_of(False), throughput=100, told=lambda _: None)
    assert found.rate is None
    assert found.run is None
