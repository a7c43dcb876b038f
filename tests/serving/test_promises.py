"""What the server keeps while things go wrong: kills, deadly texts, overload, clients that leave, a drain."""

from __future__ import annotations

import json
import random
import signal
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import psutil
import pytest
import requests
from clients import Clients
from guarded import project_with_config
from swapping import until
from touchy_engine import row_logits

WORDS = [
    "where",
    "is",
    "my",
    "order",
    "please",
    "change",
    "the",
    "address",
    "broken",
    "return",
    "help",
    "number",
    "today",
]


@dataclass
class Load(Clients):
    """Clients that ask one text after the other and check each answer."""

    text_side: object
    statuses: Counter = field(default_factory=Counter)
    wrong: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    slow_refusals: list = field(default_factory=list)

    def ask(self, chance: random.Random, session: requests.Session) -> bool:
        text = " ".join(chance.choices(WORDS, k=chance.randint(1, 40)))
        began = time.monotonic()
        try:
            answer = session.post(f"{self.url}/v1/classify", json={"input": text}, timeout=60)
        except requests.RequestException as error:
            self.failures.append(repr(error))
            return False
        self.statuses[answer.status_code] += 1
        if answer.status_code == 200:
            self.check(text, answer.json()["data"][0]["probabilities"])
        elif answer.status_code == 429:
            self.slow_refusals += [took] if (took := time.monotonic() - began) > 1 else []
            time.sleep(0.1)
        return not (answer.status_code == 503 and answer.headers.get("connection") == "close")

    def check(self, text, probabilities) -> None:
        powers = np.exp(np.array(row_logits(self.text_side.encode([text])[0])))
        if not np.allclose(list(probabilities.values()), powers / powers.sum(), atol=1e-6):
            self.wrong.append(text)


@pytest.fixture
def load(touchy):
    from tunewright.engines.copies import read_manifest
    from tunewright.engines.text_side import TextSide

    text_side = TextSide.open(touchy.folder, read_manifest(touchy.folder).text)
    return lambda running: Load(running.url, text_side)


@pytest.fixture(scope="module")
def sturdy(start, touchy):
    """A server whose engine takes 5 ms a batch."""
    return start(touchy.folder, "serving.batch_timeout_s=1.5", environment=touchy.environment(seconds=0.005))


def test_a_worker_that_is_killed_under_load_costs_no_answer(sturdy, load):
    states = set()
    with load(sturdy).by(8) as asked:
        for _ in range(3):
            time.sleep(0.4)
            sturdy.worker.kill()
            until(lambda: states.add(sturdy.get("/health/ready").json()["status"]) or "degraded" in states)
            until(lambda: sturdy.get("/health/ready").json()["status"] == "ready")
    assert (asked.wrong, asked.failures) == ([], [])
    assert set(asked.statuses) == {200}
    assert asked.statuses[200] > 100
    (restarts,) = [value for name, value in sturdy.figures().items() if "worker_restarts" in name]
    assert restarts >= 3


def test_a_text_that_kills_the_worker_is_answered_with_an_error_and_its_neighbours_are_not(sturdy, load):
    with load(sturdy).by(4) as asked:
        time.sleep(0.2)
        deadly = sturdy.classify(["where is my order", "z", "please"])
        alone = sturdy.classify(["where is my order"])
    assert deadly.status_code == 500
    assert deadly.json()["error"]["code"] == "engine_failed"
    assert alone.status_code == 200
    assert (asked.wrong, asked.failures, set(asked.statuses)) == ([], [], {200})


def test_a_text_that_the_engine_refuses_spoils_no_other(sturdy, load):
    with load(sturdy).by(4) as asked:
        refused = [sturdy.classify("q") for _ in range(3)]
    assert {each.status_code for each in refused} == {500}
    assert "this text makes me sad" in refused[0].json()["error"]["message"]
    assert (asked.wrong, asked.failures, set(asked.statuses)) == ([], [], {200})


def test_a_worker_that_hangs_is_replaced(sturdy, load):
    before = sturdy.worker.pid
    answer = sturdy.classify("x", headers={"x-request-timeout": "1"})
    assert answer.status_code == 504
    until(lambda: sturdy.worker.pid != before)
    until(lambda: sturdy.get("/health/ready").json()["status"] == "ready")
    assert sturdy.classify("please").status_code == 200


def test_overload_is_refused_at_once_and_the_rest_is_answered(start, touchy, load):
    busy = start(
        touchy.folder, "serving.queue_tokens=300", "serving.max_rows=2",
        environment=touchy.environment(seconds=0.05),
    )  # fmt: skip
    with load(busy).by(40) as asked:
        time.sleep(3)
    assert (asked.wrong, asked.failures, asked.slow_refusals) == ([], [], [])
    assert set(asked.statuses) == {200, 429}
    assert asked.statuses[200] > 40
    assert busy.classify("please").status_code == 200
    refused = busy.figures()['tunewright_refused_total{code="overloaded"}']
    assert refused == asked.statuses[429]
    assert busy.end() == 0


def test_what_nobody_waits_for_any_more_is_not_computed(start, touchy):
    slow = start(touchy.folder, environment=touchy.environment(seconds=0.6))
    host, port = slow.url.removeprefix("http://").split(":")

    def leave(text: str) -> None:
        body = json.dumps({"input": [text] * 200}).encode()
        with socket.create_connection((host, int(port))) as line:
            line.sendall(
                b"POST /v1/classify HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%s" % (len(body), body)
            )
            time.sleep(0.3)

    def waiting() -> float:
        return next(value for name, value in slow.figures().items() if "queue_tokens" in name)

    for _ in range(4):
        leave("please change the address")
    until(lambda: waiting() == 0, seconds=1.5)
    timed_out = slow.classify(["help"] * 250, headers={"x-request-timeout": "0.2"})
    assert timed_out.status_code == 504
    assert waiting() == 0
    began = time.monotonic()
    assert slow.classify("please").status_code == 200
    assert time.monotonic() - began < 2.5
    worker = slow.worker
    slow.process.kill()
    worker.wait(5)  # a worker ends when the front is killed


def test_a_drain_under_load_loses_nothing(start, touchy, load):
    ending = start(touchy.folder, "serving.drain_notice_s=0.5", environment=touchy.environment(seconds=0.02))
    worker = ending.worker
    with load(ending).by(12) as asked:
        time.sleep(0.7)
        ending.process.send_signal(signal.SIGTERM)
        worker.send_signal(signal.SIGTERM)  # as systemd does to every process of a service
        time.sleep(0.2)
        late = ending.classify("please")
        assert (late.status_code, late.headers["connection"]) == (503, "close")
        assert late.json()["error"]["code"] == "draining"
        assert ending.get("/health/ready").json() == {"status": "draining"}
        assert ending.process.wait(15) == 0
    assert (asked.wrong, asked.failures) == ([], [])
    assert set(asked.statuses) == {200, 503}
    assert not worker.is_running()


def test_requests_before_the_model_is_open_are_told_so_and_a_long_answer_is_finished_before_the_end(
    start, touchy
):
    early = start(
        touchy.folder,
        "serving.drain_notice_s=0",
        wait=False,
        environment=touchy.environment(loading=2, seconds=1.5),
    )
    address = []

    def listening() -> bool:
        found = [
            each for each in psutil.Process(early.process.pid).net_connections() if each.status == "LISTEN"
        ]
        address.extend(f"http://127.0.0.1:{each.laddr.port}" for each in found)
        return bool(found)

    until(listening)
    early.url = address[0]
    answer = early.classify("please")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "starting")
    assert early.get("/health/ready").status_code == 503
    assert early.get("/health/live").json() == {"status": "starting"}
    until(lambda: early.get("/health/ready").status_code == 200)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(early.classify, "please")
        time.sleep(0.5)
        assert early.end() == 0
        assert answer.result().status_code == 200


def test_a_second_signal_ends_at_once(start, touchy):
    stuck = start(touchy.folder, environment=touchy.environment())
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(stuck.classify, "x")
        time.sleep(0.3)
        stuck.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert stuck.process.poll() is None
        stuck.process.send_signal(signal.SIGTERM)
        stuck.process.wait(5)
        with pytest.raises(requests.ConnectionError):
            lost.result()


def test_a_full_disk_for_the_request_log_costs_no_answer_and_no_row(start, touchy, load, small_disk, fill_up):
    from tunewright.monitoring.reading import read_requests
    from tunewright.monitoring.request_log import FOLDER
    from tunewright.support.paths import ProjectPaths

    root = project_with_config(small_disk)
    running = start(
        touchy.folder, "monitoring.request_log.flush_s=0.05", "serving.drain_notice_s=0.1",
        cwd=root, environment=touchy.environment(seconds=0.005),
    )  # fmt: skip
    with load(running).by(4) as asked:
        time.sleep(0.5)
        fill_up(root / "ballast")
        until(lambda: running.figures()["tunewright_request_log_failing"] == 1)
        time.sleep(1)
        assert running.get("/health/ready").json()["status"] == "ready"
        (root / "ballast").unlink()
        until(lambda: running.figures()["tunewright_request_log_failing"] == 0)
    assert (asked.wrong, asked.failures) == ([], [])
    assert set(asked.statuses) == {200}
    assert running.end() == 0
    found = read_requests(ProjectPaths(root).state / FOLDER)
    assert found.rows.num_rows == asked.statuses[200] > 100
