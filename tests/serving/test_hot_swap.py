"""Versions that change under load: every answer is checked against the version that it names, and none is missing."""

from __future__ import annotations

import json
import shutil
import signal
import time
import uuid

import psutil
import pytest
import requests
from swapping import (
    SWAPS,
    Checked,
    Following,
    go_home,
    make_versions,
    outcomes,
    sample_texts,
    serves,
    state_of,
    steer,
    until,
    workers,
)

from tracking_servers import TrackingServer

SECRET = "a shared secret"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def versions(tmp_path_factory, classifier):
    return make_versions(tmp_path_factory.mktemp("swap") / "mail", classifier, sample_texts())


@pytest.fixture(scope="module")
def begin(versions, start):
    """Start servers of the champion, version 1."""
    with Following(versions, start, "mail", TUNEWRIGHT_WEBHOOK_SECRET=SECRET) as servers:
        yield servers.begin


@pytest.fixture(scope="module")
def swapping_server(begin):
    return begin("steady")


@pytest.fixture(scope="module")
def canary_server(begin):
    return begin(
        "growing", "serving.rollout=canary", "serving.rollout_steps=[0.3,0.6]", "serving.rollout_requests=60"
    )


def test_the_versions_differ(versions):
    differing = [
        text
        for text, (label, _) in versions.expected["1"].items()
        if versions.expected["2"][text][0] != label
    ]
    assert len(differing) > 30


def test_the_alias_moves_under_load_and_no_answer_is_lost_or_wrong(versions, at_once):
    server, before = at_once, outcomes(at_once, "promoted")
    with Checked(server.url, versions).by(3) as asked:
        for swap in range(SWAPS):
            version = 2 - swap % 2
            versions.point(version, server.alias)
            until(lambda version=version: serves(server, version))
    assert asked.faults == []
    assert min(asked.by_version["1"], asked.by_version["2"]) > 20
    assert outcomes(server, "promoted") - before == SWAPS
    until(lambda: len(workers(server)) == 1)


def test_a_canary_grows_and_takes_over(versions, canary):
    server = canary
    shares = set()

    def look() -> bool:
        state = state_of(server)
        if state["candidate"]:
            shares.add(state["candidate"]["share"])
        return serves(server, 2)

    with Checked(server.url, versions).by(3) as asked:
        versions.point(2, server.alias)
        until(look)
    assert asked.faults == []
    assert {0.3, 0.6} <= shares
    answer = server.classify("order", model="mail@growing")
    assert (answer.headers["x-model-version"], answer.json()["model_version"]) == ("2", "2")


@pytest.mark.parametrize("order", ["raise", "sleep", "die"])
def test_a_canary_that_turns_bad_goes_back_by_itself(versions, canary, order):
    server = canary
    before, refused = outcomes(server, "rolled_back"), len(state_of(server)["refusals"])
    with Checked(server.url, versions).by(3) as asked:
        versions.point(3, server.alias)
        until(lambda: (state_of(server)["candidate"] or {}).get("requests", 0) > 3)
        versions.orders.write_text(order)
        until(lambda: len(state_of(server)["refusals"]) > refused)
        time.sleep(1)
        state = state_of(server)
    assert asked.faults == []
    assert asked.by_version["3"] > 0
    assert {"raise": "requests failed", "sleep": "slower", "die": "worker died"}[order] in state["refusals"][
        0
    ]["why"]
    assert (state["current"]["version"], state["candidate"]) == ("1", None)
    assert len(state["refusals"]) == refused + 1  # and not tried again
    assert outcomes(server, "rolled_back") - before == 1
    until(lambda: len(workers(server)) == 1)


def test_a_worker_that_is_killed_during_a_rollout_costs_no_answer(versions, canary):
    server, refused = canary, outcomes(canary, "rolled_back")
    with Checked(server.url, versions).by(3) as asked:
        versions.point(3, server.alias)
        until(lambda: (state_of(server)["candidate"] or {}).get("requests", 0) > 3)
        psutil.Process(workers(server)["late-fp32"]).kill()
        until(lambda: (state_of(server)["candidate"] or {}).get("worker_restarts"))
        until(lambda: serves(server, 3))
    assert asked.faults == []
    assert outcomes(server, "rolled_back") == refused


def test_a_version_that_does_not_repeat_its_certificate_gets_no_request(versions, at_once):
    from tunewright.registry.references import find_version
    from tunewright.registry.storage import model_folder

    server = at_once
    folders = [
        model_folder(versions.tracking, find_version(versions.tracking, f"mail/{number}").uri) / "engines"
        for number in (1, 2)
    ]
    kept = folders[1].with_name("kept")
    folders[1].rename(kept)
    shutil.copytree(folders[0], folders[1])  # whole, but another model's
    try:
        with Checked(server.url, versions).by(2) as asked:
            versions.point(2, server.alias)
            (refusal,) = until(lambda: state_of(server)["refusals"])
            time.sleep(1)
    finally:
        shutil.rmtree(folders[1])
        kept.rename(folders[1])
    assert "logits differ" in refusal["why"]
    assert asked.faults == []
    assert set(asked.by_version) == {"1"}
    assert len(state_of(server)["refusals"]) == 1  # not tried again, until the alias has been elsewhere
    go_home(server, versions)
    versions.point(2, server.alias)
    until(lambda: serves(server, 2))


def test_a_registry_that_goes_away_changes_nothing_and_is_told_once(versions, begin):
    server = begin("lonely")
    away = versions.database.with_suffix(".away")
    with Checked(server.url, versions).by(2) as asked:
        versions.database.rename(away)
        try:
            until(lambda: "gone" in server.get("/health/ready").json().get("detail", ""))
            time.sleep(1)
            ready = server.get("/health/ready")
            assert (ready.status_code, ready.json()["status"]) == (200, "ready")
            assert not versions.database.exists()
        finally:
            away.rename(versions.database)
        until(lambda: "detail" not in server.get("/health/ready").json())
        versions.point(2, server.alias)
        until(lambda: serves(server, 2))
    assert asked.faults == []
    server.end()
    assert len([line for line in server.said if "the registry can't be asked" in line]) == 1
    assert len([line for line in server.said if "the registry answers again" in line]) == 1


def test_a_registry_over_http_may_be_killed_and_is_caught_up_with(versions, begin):
    registry = TrackingServer(versions.database, versions.root / "artifacts")
    try:
        registry.start()
        server = begin("remote", f"registry.tracking_uri={registry.uri}")
        with Checked(server.url, versions).by(2) as asked:
            registry.end(signal.SIGKILL)
            trouble = until(lambda: state_of(server)["registry"])
            versions.point(2, server.alias)  # nobody can tell the server
            ready = server.get("/health/ready")
            assert (ready.status_code, ready.json()) == (200, {"status": "ready", "detail": trouble})
            assert registry.uri in trouble
            assert server.figures()["tunewright_registry_reachable"] == 0
            answered = asked.by_version["1"]
            until(lambda: asked.by_version["1"] > answered + 20)
            registry.start()
            until(lambda: serves(server, 2))
            assert state_of(server)["registry"] == ""
        assert asked.faults == []
    finally:
        registry.end()


def test_a_shadow_is_compared_and_answers_nothing_until_it_is_promoted_by_hand(versions, begin):
    server = begin("shown", "serving.rollout=shadow", "serving.watch_s=300")
    assert steer(server, "promote").status_code == 409
    with Checked(server.url, versions).by(2) as asked:
        versions.point(2, server.alias)
        time.sleep(0.6)
        assert state_of(server)["candidate"] is None  # the next look is far away
        assert webhook(server, "wrong").status_code == 401
        assert webhook(server, SECRET).status_code == 200
        until(lambda: shadow_of(server).get("texts", 0) > 20)
        shadow = shadow_of(server)
        assert set(asked.by_version) == {"1"}
        assert shadow["same_label"] < shadow["texts"]
        assert shadow["largest_logit_difference"] > 0.1
        assert steer(server, "promote").status_code == 200
        until(lambda: asked.by_version["2"] > 20)
        assert steer(server, "roll_back").status_code == 409
    assert asked.faults == []


def test_versions_beside_the_first_stay_while_it_moves(versions, begin):
    versions.point(2, "challenger")
    server = begin("led", "--beside", "mail@challenger", "--beside", "mail/2")

    def answering(name: str | None) -> str:
        answer = server.classify("order", **({"model": name} if name else {}))
        assert answer.json()["model_version"] == answer.headers["x-model-version"]
        return answer.headers["x-model-version"]

    def listed() -> list[tuple[str, str]]:
        return [(each["id"], each["version"]) for each in server.get("/v1/models").json()["data"]]

    assert listed() == [("mail", "1"), ("mail@challenger", "2"), ("mail/2", "2")]
    assert [answering(name) for name in (None, "mail", "mail@led", "mail@challenger", "mail/2")] == list(
        "11122"
    )
    with Checked(server.url, versions).by(2) as asked:
        versions.point(2, "led")
        until(lambda: serves(server, 2))
        assert [answering(name) for name in (None, "mail@led", "mail@challenger", "mail/2")] == list("2222")
        versions.point(1, "led")
        until(lambda: serves(server, 1))
    assert asked.faults == []
    assert listed() == [("mail", "1"), ("mail@challenger", "2"), ("mail/2", "2")]
    assert [answering(name) for name in (None, "mail/1", "mail@challenger")] == list("112")


def shadow_of(server) -> dict:
    return (state_of(server)["candidate"] or {}).get("shadow", {})


def webhook(server, secret: str) -> requests.Response:
    """Send what MLflow sends when an alias is set, signed by its own code."""
    from mlflow.webhooks.delivery import _generate_hmac_signature

    body = json.dumps({"entity": "model_version_alias", "action": "created", "timestamp": "", "data": {}})
    delivery, stamp = str(uuid.uuid4()), str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": stamp,
        "X-MLflow-Signature": _generate_hmac_signature(secret, delivery, stamp, body),
    }
    return requests.post(f"{server.url}/v1/rollout/webhook", data=body, headers=headers, timeout=10)
