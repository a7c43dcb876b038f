"""Versions of a language model that change under load: no answer is lost, and none is half of each."""

from __future__ import annotations

import contextlib
import shutil
import time

import pytest
import requests
from swapping import SWAPS, Following, outcomes, serves, state_of, steer, until, workers
from writing_versions import ASKED, MOST, Readers, chat_body, make_writing_versions, read_events

from language_subjects import make_subject
from tunewright.registry.references import find_version
from tunewright.registry.storage import model_folder
from tunewright.serving.rollout.shadowing import MOST_SHADOWED

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


@pytest.mark.parametrize(("order", "why"), [("raise", "worker died"), ("sleep 0.05", "slower")])
def test_a_canary_that_turns_bad_goes_back_by_itself(versions, canary, order, why):
    server = canary
    before, refused = outcomes(server, "rolled_back"), len(state_of(server)["refusals"])
    with Readers(server.url, versions).by(3) as asked:
        versions.point(3, server.alias)
        until(lambda: (state_of(server)["candidate"] or {}).get("requests", 0) > 3)
        versions.orders.write_text(order)
        until(lambda: len(state_of(server)["refusals"]) > refused)
        time.sleep(0.5)
        state = state_of(server)
    assert asked.faults == []
    assert set(asked.broken_off) <= {"3"}, "a stream that had begun can't go over to the other version"
    assert asked.by_version["3"] > 0
    assert why in state["refusals"][0]["why"]
    assert (state["current"]["version"], state["candidate"]) == ("1", None)
    assert outcomes(server, "rolled_back") - before == 1
    versions.orders.unlink()
    until(lambda: len(workers(server)) == 1)


def test_a_version_that_does_not_repeat_its_certificate_gets_no_request(versions, at_once):
    server = at_once
    with another_models_copy(versions), Readers(server.url, versions).by(2) as asked:
        versions.point(2, server.alias)
        (refusal,) = until(lambda: state_of(server)["refusals"])
        until(lambda: asked.by_version["1"] > 20)
    assert "log-probabilities differ" in refusal["why"]
    assert asked.faults == []
    assert set(asked.by_version) == {"1"}
    assert outcomes(server, "refused") == 1


@contextlib.contextmanager
def another_models_copy(versions):
    """Lay version 1's copy where that of version 2 belongs: whole, but another model's."""
    one, other = (
        model_folder(versions.tracking, find_version(versions.tracking, f"chat/{number}").uri)
        / "engines"
        / "openvino-fp32"
        for number in (1, 2)
    )
    kept = other.with_name("kept")
    other.rename(kept)
    shutil.copytree(one, other)
    try:
        yield
    finally:
        shutil.rmtree(other)
        kept.rename(other)


def test_a_shadow_writes_the_same_in_the_background_and_is_compared(versions, following):
    server = following.begin("shown", "--beside", "chat/1", "serving.rollout=shadow")
    versions.point(2, server.alias)
    until(lambda: shadow_of(server))
    assert (
        ask(server, ASKED[0], 9, model="chat/1").status_code == 200
    )  # it is beside the first, and no old version
    answers = [ask(server, asked, 9) for asked in ASKED]
    answers.append(ask(server, ASKED[0], 9, n=2))
    stream = ask(server, ASKED[1], 9, stream=True)
    assert len(list(read_events(stream))) > 2
    assert {each.headers["x-model-version"] for each in (*answers, stream)} == {"1"}
    until(lambda: shadow_of(server)["answers"] == len(ASKED) + 3)
    shadow = shadow_of(server)
    assert shadow["tokens"] == 9 * shadow["answers"]
    assert shadow["same_answer"] == 0
    assert 0 <= shadow["same_tokens"] < shadow["tokens"]
    drawn = ask(server, ASKED[0], 9, temperature=1.0, seed=3)
    assert drawn.status_code == 200
    until(lambda: state_of(server)["candidate"]["requests"] == len(ASKED) + 3)
    assert shadow_of(server)["answers"] == len(ASKED) + 3, "what is drawn is not compared"
    assert state_of(server)["candidate"]["errors"] == 0
    figures = server.figures()
    assert figures['tunewright_shadow_answers_total{answer="other",model="chat",version="2"}'] == 8

    assert steer(server, "promote").status_code == 200
    versions.point(3, server.alias)  # the same weights
    until(lambda: shadow_of(server))
    for asked in ASKED:
        assert ask(server, asked, 9).headers["x-model-version"] == "2"
    until(lambda: shadow_of(server)["answers"] == len(ASKED))
    shadow = shadow_of(server)
    assert (shadow["same_answer"], shadow["same_tokens"]) == (len(ASKED), 9 * len(ASKED))

    versions.orders.write_text("sleep 30")
    for number in range(MOST_SHADOWED + 8):
        answer = ask(server, ASKED[number % len(ASKED)], 8)
        assert answer.headers["x-model-version"] == "2"
        assert answer.json()["choices"][0]["message"]["content"] in {
            versions.expected["2"][asked][8] for asked in ASKED
        }
    assert shadow_of(server)["skipped"] == 8, "it is never more than so many requests behind"
    versions.orders.unlink()


def shadow_of(server) -> dict:
    candidate = state_of(server)["candidate"] or {}
    return candidate["shadow"] if candidate.get("phase") == "rolling out" else {}
