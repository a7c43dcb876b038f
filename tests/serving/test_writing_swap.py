"""Versions of a language model that change under load: no answer is lost, and none is half of each."""

from __future__ import annotations

import time

import pytest
import requests
from swapping import SWAPS, Following, go_home, outcomes, serves, state_of, until, workers
from writing_versions import ASKED, MOST, Readers, chat_body, make_writing_versions, read_events

from language_subjects import make_subject

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def versions(tmp_path_factory, talker, shared):
    place = tmp_path_factory.mktemp("writing-swap")
    folder = shared / "models" / "tinystories-656k-fixed-tokenizer"
    (place / "other").mkdir()
    other = make_subject(folder, place / "other", adapter=0.3)
    return make_writing_versions(place / "chat", talker, other)


@pytest.fixture(scope="module")
def following(versions, start):
    """Start servers of version 1 that follow an alias each."""
    with Following(versions, start, "chat") as servers:
        yield servers


@pytest.fixture(scope="module")
def swapping_server(following):
    return following.begin("steady")


@pytest.fixture(scope="module")
def canary_server(following):
    return following.begin(
        "growing",
        "serving.rollout=canary", "serving.rollout_steps=[0.3,0.6]", "serving.rollout_requests=40",
    )  # fmt: skip


@pytest.fixture
def at_once(swapping_server, versions):
    """A server of version 1 that takes new versions at once."""
    go_home(swapping_server, versions)
    return swapping_server


@pytest.fixture
def canary(canary_server, versions):
    """A server of version 1 that lets new versions grow."""
    go_home(canary_server, versions)
    return canary_server


def ask(server, asked, tokens, **given) -> requests.Response:
    streams = bool(given.get("stream"))
    body = chat_body(asked, tokens, **given)
    return requests.post(f"{server.url}/v1/chat/completions", json=body, timeout=60, stream=streams)


def test_the_versions_say_different_things(versions):
    for asked in ASKED:
        one, other = (versions.expected[version][asked][8] for version in "12")
        assert one != other


def test_the_alias_moves_under_load_and_every_answer_is_of_one_version(versions, at_once):
    server, before = at_once, outcomes(at_once, "promoted")
    with Readers(server.url, versions).by(3) as asked:
        for swap in range(SWAPS):
            version = 2 - swap % 2
            versions.point(version, server.alias)
            until(lambda version=version: serves(server, version))
    assert asked.faults == []
    assert not asked.broken_off
    assert min(asked.by_version["1"], asked.by_version["2"]) > 20
    assert outcomes(server, "promoted") - before == SWAPS
    until(lambda: len(workers(server)) == 1)


def test_a_stream_ends_on_the_version_it_began_on_and_its_worker_ends_then(versions, at_once):
    server = at_once
    versions.point(3, server.alias)
    until(lambda: serves(server, 3))
    versions.orders.write_text("sleep 0.2")
    stream = ask(server, ASKED[0], MOST, stream=True)
    events = read_events(stream)
    text = "".join(next(events)["choices"][0]["delta"].get("content", "") for _ in range(2))
    versions.point(1, server.alias)
    until(lambda: serves(server, 1))
    assert ask(server, ASKED[0], MOST).json()["system_fingerprint"].startswith("1-")
    assert set(workers(server)) == {"late-fp32", "openvino-fp32"}, "the old one has an answer to write yet"
    versions.orders.unlink()
    rest = list(events)
    assert {each["system_fingerprint"].partition("-")[0] for each in rest} == {"3"}
    text += "".join(each["choices"][0]["delta"].get("content", "") for each in rest)
    assert text == versions.expected["3"][ASKED[0]][MOST]
    until(lambda: set(workers(server)) == {"openvino-fp32"})


@pytest.mark.parametrize("order", ["raise", "sleep 0.05", "die"])
def test_a_canary_that_turns_bad_goes_back_by_itself(versions, canary, order):
    server = canary
    before, refused = outcomes(server, "rolled_back"), len(state_of(server)["refusals"])
    with Readers(server.url, versions).by(3) as asked:
        until(lambda: asked.by_version["1"] > 60)
        versions.point(3, server.alias)
        until(lambda: (state_of(server)["candidate"] or {}).get("requests", 0) > 3)
        versions.orders.write_text(order)
        until(lambda: len(state_of(server)["refusals"]) > refused)
        time.sleep(0.5)
        state = state_of(server)
    assert asked.faults == []
    assert set(asked.broken_off) <= {"3"}, "a stream that had begun can't go over to the other version"
    assert asked.by_version["3"] > 0
    (word,) = {
        "raise": ["worker died"], "sleep 0.05": ["slower"], "die": ["worker died"]
    }[order]  # fmt: skip
    assert word in state["refusals"][0]["why"]
    assert (state["current"]["version"], state["candidate"]) == ("1", None)
    assert outcomes(server, "rolled_back") - before == 1
    versions.orders.unlink()
    until(lambda: len(workers(server)) == 1)
