"""The load tool against a real server whose delays are known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from tunewright.serving.bench.benching import Bench
from tunewright.serving.bench.profile import Profile, load_profile
from tunewright.support.errors import InputError, TunewrightError

LOADED = 120
"""Milliseconds that a busy machine may add to a 99th percentile."""

INTERRUPTIBLE = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from tunewright.cli.app import main; main(sys.argv[1:])"
)
"""The command line, even where what started the tests has SIGINT ignored."""


def bench(url: str, path: str, **given) -> Bench:
    plain = {"path": path, "body": {"input": "{text}"}, "warm_up_s": 0.5, "duration_s": 2, "connections": 32}
    return Bench(url, Profile(**{**plain, **given}))


def figures(url: str, path: str, **given):
    return bench(url, path, **given).run().figures


@pytest.mark.parametrize("name", ["classify", "invocations"])
def test_our_server_takes_the_packaged_profile(server, name):
    wanted = load_profile(name, rate=20.0, duration_s=1.5, warm_up_s=0.2)
    asked = Bench(server.url, wanted)
    asked.check()
    found = asked.run().figures
    assert found.outcomes["ok"] == found.requests > 5


def test_a_model_that_the_server_lacks_is_told_before_the_run(server):
    model = server.get("/v1/models").json()["data"][0]["id"]
    Bench(server.url, load_profile("classify", model=model)).check()
    with pytest.raises(InputError, match="/v1/classify: answers with 404"):
        Bench(server.url, load_profile("classify", model="nobody")).check()


def test_latency_is_what_the_server_takes(slow_server):
    found = figures(slow_server[0], "/delay/40", rate=50, duration_s=3)
    assert found.outcomes["ok"] == found.requests
    assert 100 < found.requests < 200
    assert 40 <= found.latency_ms.p50 < 40 + LOADED / 2
    assert found.latency_ms.p99 < 40 + LOADED
    assert found.goodput_per_s == pytest.approx(found.offered_per_s)


def test_a_server_that_stands_still_shows_in_the_tail(slow_server):
    """A client that waits for answers before it asks again would see one slow request, and p95 near zero."""
    found = figures(slow_server[0], "/stall/150", rate=100, duration_s=4, warm_up_s=0.2, arrivals="constant")
    assert found.requests == 400
    assert 900 < found.latency_ms.largest < 1000 + 3 * LOADED
    assert found.latency_ms.p99 > 900
    assert found.latency_ms.p90 > 450, "a quarter of the requests arrived while it stood still"
    assert found.latency_ms.p50 < LOADED
    assert max(moment.p99_ms for moment in found.over_time) > 900
    assert found.offered_per_s == pytest.approx(100)


def test_latency_counts_from_the_schedule_even_when_no_connection_is_free(slow_server):
    found = figures(
        slow_server[0], "/delay/100", rate=30, connections=1, duration_s=2, warm_up_s=0, arrivals="constant"
    )
    assert found.outcomes["ok"] == 60
    assert found.latency_ms.largest > 3500, "60 requests of 100 ms, one after the other, arrive within 2 s"


def test_what_is_turned_away_is_counted_apart_and_is_no_answer(slow_server):
    found = figures(slow_server[0], "/limited/2", rate=160)
    assert found.outcomes["rejected_429"] > 0.5 * found.requests
    assert found.outcomes["ok"] + found.outcomes["rejected_429"] == found.requests
    assert 15 < found.goodput_per_s < 41
    assert found.latency_ms.count == found.outcomes["ok"]
    assert found.latency_ms.p50 >= 50
    assert found.rejected_ms.p50 < 50


def test_answers_beyond_the_bound_are_no_goodput(slow_server):
    found = figures(slow_server[0], "/delay/60", rate=40, p99_ms=50)
    assert found.answered_per_s > 0
    assert found.goodput_per_s == 0
    assert found.holds_bound is False


def test_a_late_answer_is_an_error_and_stays_in_the_tail(slow_server):
    begun = time.monotonic()
    found = figures(slow_server[0], "/delay/30000", rate=20, timeout_s=0.3, duration_s=1)
    assert found.outcomes["timeout"] == found.requests
    assert found.latency_ms.p50 >= 300
    assert time.monotonic() - begun < 10


def test_a_stream_gives_time_to_the_first_token_and_between_tokens(slow_server):
    found = figures(slow_server[0], "/stream/plain", rate=10, streams=True)
    assert found.outcomes["ok"] == found.requests > 5
    assert 40 <= found.first_token_ms.p50 < 40 + LOADED, "the role alone is no token"
    assert found.token_gap_ms.count == 5 * found.requests
    assert 15 < found.token_gap_ms.mean < 20 + LOADED / 4
    assert 140 <= found.latency_ms.p50 < 140 + LOADED
    assert found.tokens_per_s == pytest.approx(6 * found.requests / 2)


@pytest.mark.parametrize(("kind", "outcome"), [("cut", "broken"), ("error", "wrong"), ("silent", "wrong")])
def test_a_stream_that_goes_wrong_is_no_answer(slow_server, kind, outcome):
    found = figures(slow_server[0], f"/stream/{kind}", rate=10, streams=True, duration_s=1)
    assert found.outcomes[outcome] == found.requests > 0


@pytest.mark.parametrize(
    ("code", "outcome"), [(503, "http_5xx"), (404, "http_4xx"), (302, "wrong"), (429, "rejected_429")]
)
def test_each_kind_of_refusal_has_its_own_count(slow_server, code, outcome):
    found = figures(slow_server[0], f"/status/{code}", rate=20, duration_s=1)
    assert found.outcomes[outcome] == found.requests > 0, "and a redirection is never followed"
    assert found.error_share == 1


def test_a_server_that_closes_after_each_answer_is_measured_all_the_same(slow_server):
    found = figures(slow_server[0], "/closing", rate=50, counts_tokens=True)
    assert found.outcomes["ok"] == found.requests
    assert found.connections_opened > found.requests
    assert found.tokens_per_s == pytest.approx(5 * found.requests / 2)


def test_a_closed_loop_finds_the_throughput(slow_server):
    found = figures(slow_server[0], "/delay/50", rate="max", connections=8)
    assert found.offered_per_s is None
    assert 0.5 * 160 < found.answered_per_s <= 165
    assert found.latency_ms.p50 >= 50


def test_several_processes_share_the_load(slow_server):
    found = figures(slow_server[0], "/delay/5", rate=60, processes=2, duration_s=3)
    assert found.outcomes["ok"] == found.requests
    assert found.offered_per_s == pytest.approx(60, rel=0.3)
    assert found.connections_opened == 32


def test_ctrl_c_ends_every_process_with_one_line(slow_server, tmp_path):
    profile = tmp_path / "p.yaml"
    profile.write_text("path: /delay/5\nbody: {}\nrate: 20\nprocesses: 2\nduration_s: 120\n")
    words = ("bench", "serve", slow_server[0], "--profile", str(profile))
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    parent = psutil.Process(process.pid)
    end = time.monotonic() + 60
    while sum(len(each.net_connections("tcp")) for each in parent.children()) < 64:
        assert time.monotonic() < end
        time.sleep(0.1)
    children = parent.children()
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.startswith("error: interrupted")
    assert "Traceback" not in err
    assert psutil.wait_procs(children, timeout=10)[1] == [], "none goes on sending"


def test_a_server_that_dies_within_a_run_ends_it_in_time(slow_server):
    url, process = slow_server
    threading.Timer(1.0, process.kill).start()
    begun = time.monotonic()
    found = figures(url, "/delay/20", rate=50, duration_s=2, timeout_s=2)
    assert time.monotonic() - begun < 15
    assert found.outcomes["ok"] > 0
    assert found.outcomes["unreachable"] > 0
    assert sum(found.outcomes.values()) == found.requests


def test_a_wrong_address_or_route_is_said_before_the_run(slow_server):
    url, _ = slow_server
    with pytest.raises(InputError, match=r"/nowhere: answers with 404; check the route"):
        bench(url, "/nowhere").check()
    with pytest.raises(TunewrightError, match=r"can't be reached .*; is the server started"):
        bench("http://127.0.0.1:9", "/x").check()
    with pytest.raises(InputError, match="not with what was asked for"):
        bench(url, "/delay/0", streams=True).check()
    bench(url, "/status/429").check()


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://x", "http://", "http://x:99999", "http://a b/", "http://x/?y"]
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(InputError, match="is no address"):
        bench(url, "/x")


def test_the_command_says_it_all(slow_server, cli, tmp_path, monkeypatch):
    url, _ = slow_server
    profile, out, plot = tmp_path / "p.yaml", tmp_path / "figures.json", tmp_path / "load.png"
    profile.write_text('path: /key\nbody: {x: "{text}"}\nwarm_up_s: 0.2\n')
    words = ("bench", "serve", url, "--profile", str(profile), "--rate", "30", "--duration", "1")
    assert "answers with 401" in cli(*words).complaint
    monkeypatch.setenv("TUNEWRIGHT_API_KEY", "tw-secret")
    said = cli(*words, "--json", "--out", str(out), "--plot", str(plot))
    assert said.code == 0
    assert said.facts == json.loads(out.read_text())
    assert said.facts["figures"]["outcomes"]["ok"] == said.facts["figures"]["requests"] > 0
    assert "tw-secret" not in said.out + said.err
    assert plot.read_bytes().startswith(b"\x89PNG")
    for name in ("load.svg", "load.html"):
        assert cli(*words, "--plot", str(tmp_path / name)).code == 0
        assert "<svg" in (tmp_path / name).read_text()
    table = cli(*words)
    assert all(word in table.out for word in ("right answers a second", "p99.9", "latency"))
    assert "µs a request" in table.err
    assert "exists already" in cli(*words, "--out", str(out)).complaint
    assert "can't be drawn to" in cli(*words, "--plot", "x.doc").complaint


def test_a_bound_that_is_broken_fails_the_command(slow_server, cli, tmp_path):
    profile = tmp_path / "p.yaml"
    profile.write_text("path: /delay/30\nbody: {}\nwarm_up_s: 0\nduration_s: 1\nrate: 20\n")
    words = ("bench", "serve", slow_server[0], "--profile", str(profile))
    said = cli(*words, "--p99-ms", "10")
    assert said.code == 1
    assert "beyond the bound of 10 ms" in said.complaint
    assert cli(*words, "--p99-ms", "1000").code == 0


@pytest.mark.slow
def test_the_search_finds_what_a_server_bears(slow_server, cli, tmp_path):
    profile = tmp_path / "p.yaml"
    profile.write_text(
        "path: /limited/4\nbody: {}\nwarm_up_s: 0.3\nduration_s: 4\nconnections: 4\narrivals: constant\n"
    )
    words = ("bench", "serve", slow_server[0], "--profile", str(profile), "--rate", "search")
    said = cli(*words, "--p99-ms", "200", "--json")
    assert said.code == 0, said.err
    assert 0 < said.facts["search"]["rate"] <= 88, "four at a time, 50 ms each: 80 a second at most"
    assert "closed loop:" in said.err
    assert "--p99-ms: is needed" in cli(*words).complaint
    assert "add --duration 8" in cli(*words, "--p99-ms", "400").complaint


def test_no_answer_comes_sooner_than_the_server_gives_it(slow_server):
    found = bench(slow_server[0], "/delay/20", rate=100).run()
    latency = found.samples.column("ended") - found.samples.column("scheduled")
    assert latency.min() >= 0.0199, "a timer that fires early must not shorten a wait"
