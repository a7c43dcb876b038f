"""What a real server tells those who watch: log lines, and traces that a real collector receives."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from guarded import project_with_config
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from running import TEXTS
from tunewright.serving.asked import Finished
from tunewright.serving.keys import FILE, KeyStore
from tunewright.serving.telemetry.context import context_of
from tunewright.serving.telemetry.spans import Tracer

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PRIVATE = "ada@example.org wants her parcel"


@pytest.fixture
def collector(tmp_path):
    """The address of ``otlp_receiver.py``, and the file with what it got."""
    port_file, spans = tmp_path / "port", tmp_path / "spans"
    script = str(Path(__file__).with_name("otlp_receiver.py"))
    process = subprocess.Popen([sys.executable, script, str(port_file), str(spans)])
    end = time.monotonic() + 60
    while not (port_file.exists() and port_file.read_text()):
        assert process.poll() is None, "the collector ended"
        assert time.monotonic() < end
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port_file.read_text()}", spans
    process.kill()
    process.wait()


def test_lines_and_spans_tell_of_a_request_what_happened_and_nothing_private(
    start, copies, tmp_path, collector
):
    address, spans_file = collector
    root = project_with_config(tmp_path)
    _, secret = KeyStore(root / ".tunewright" / FILE).make("ci")
    running = start(
        *(copies("openvino:fp32"), "serving.log_format=json", "serving.drain_notice_s=0"),
        cwd=root,
        environment={"OTEL_EXPORTER_OTLP_ENDPOINT": address},
    )
    headers = {"authorization": f"Bearer {secret}", "x-request-id": "job-1"}
    parent = f"00-{TRACE}-{PARENT}-01"
    answer = running.classify(PRIVATE, headers={**headers, "traceparent": parent})
    assert answer.status_code == 200
    running.classify("x", headers={**headers, "traceparent": f"00-{'1' * 32}-{PARENT}-00"})
    running.classify("x", headers={"x-api-key": "tw-wrong"})
    requests.get(f"{running.url}/{PRIVATE}", headers=headers, timeout=10)
    before_end = time.monotonic()
    assert running.end() == 0
    assert time.monotonic() - before_end < 10
    said = "\n".join(running.said)
    assert "ada@example" not in said
    assert secret not in said

    first, _, refused, unknown = [json.loads(line) for line in running.said if line.startswith("{")]
    assert first.pop("time")
    assert 0 < first.pop("ms") < 60_000
    assert first == {
        "level": "info",
        "request_id": "job-1",
        "prediction_id": answer.headers["x-prediction-id"],
        "method": "POST",
        "route": "/v1/classify",
        "status": 200,
        "model": answer.headers["x-model"],
        "version": answer.headers["x-model-version"],
        "tokens": answer.json()["usage"]["total_tokens"],
        "tokens_out": 0,
        "key": "ci",
        "trace_id": TRACE,
    }
    assert (refused["status"], refused["key"], refused["model"]) == (401, "", "")
    assert (unknown["status"], unknown["route"]) == (404, "unmatched")

    spans = [json.loads(line) for line in spans_file.read_text().splitlines()]
    assert "ada@example" not in spans_file.read_text()
    assert {(span["path"], span["service"]) for span in spans} == {("/v1/traces", "tunewright")}
    assert {span["trace"] for span in spans} == {TRACE, refused["trace_id"], unknown["trace_id"]}
    by_name = {span["name"]: span for span in spans if span["trace"] == TRACE}
    assert set(by_name) == {"POST /v1/classify", "queue", "batch"}
    root_span, queue, batch = (by_name[name] for name in ("POST /v1/classify", "queue", "batch"))
    assert (root_span["parent"], root_span["kind"], root_span["status"]) == (PARENT, 2, 0)
    assert queue["parent"] == batch["parent"] == root_span["span"]
    times = [
        root_span["began"],
        queue["began"],
        queue["ended"],
        batch["began"],
        batch["ended"],
        root_span["ended"],
    ]
    assert times == sorted(times)
    assert queue["ended"] == batch["began"]
    attributes = root_span["attributes"]
    assert attributes["http.response.status_code"] == 200
    assert attributes["gen_ai.request.model"] == answer.headers["x-model"]
    assert attributes["gen_ai.response.id"] == answer.headers["x-prediction-id"]
    assert attributes["gen_ai.usage.input_tokens"] == answer.json()["usage"]["total_tokens"]
    assert attributes["tunewright.key.name"] == "ci"


def test_a_collector_that_does_not_answer_holds_nothing_up(start, copies, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        running = start(
            *(copies("openvino:fp32"), "serving.log_format=plain", "serving.drain_notice_s=0"),
            f"serving.otlp_endpoint=http://127.0.0.1:{silent.getsockname()[1]}",
            cwd=tmp_path,
            environment={"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BSP_MAX_QUEUE_SIZE": "16",
                         "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"},
        )  # fmt: skip
        for text in TEXTS * 10:
            began = time.monotonic()
            assert running.classify(text).status_code == 200
            assert time.monotonic() - began < 2
        began = time.monotonic()
        assert running.end() == 0
        assert time.monotonic() - began < 8
    lines = [line for line in running.said if "POST /v1/classify 200" in line]
    assert len(lines) == 50


@pytest.mark.parametrize(
    ("header", "trace", "parent", "is_sampled"),
    [
        (f"00-{TRACE}-{PARENT}-01", TRACE, PARENT, True),
        (f"00-{TRACE}-{PARENT}-00", TRACE, PARENT, False),
        (f"01-{TRACE}-{PARENT}-03-more", TRACE, PARENT, True),
        (f"00-{TRACE}-{PARENT}-01-more", None, "", True),
        (f"ff-{TRACE}-{PARENT}-01", None, "", True),
        (f"00-{'0' * 32}-{PARENT}-01", None, "", True),
        (f"00-{TRACE}-{'0' * 16}-01", None, "", True),
        (f"00-{TRACE.upper()}-{PARENT}-01", None, "", True),
        ("", None, "", True),
    ],
)
def test_a_clients_trace_is_continued_where_it_can_be_read(header, trace, parent, is_sampled):
    found = context_of(header)
    assert (found.parent_id, found.is_sampled) == (parent, is_sampled)
    assert trace is None or found.trace_id == trace
    assert len(found.trace_id) == 32


@pytest.mark.parametrize(
    ("sampler", "share", "traceparent", "is_sent"),
    [
        ("", "", "", True),
        ("", "", f"00-{TRACE}-{PARENT}-00", False),
        ("always_on", "", f"00-{TRACE}-{PARENT}-00", True),
        ("always_off", "", f"00-{TRACE}-{PARENT}-01", False),
        ("parentbased_traceidratio", "0", "", False),
        ("parentbased_traceidratio", "0", f"00-{TRACE}-{PARENT}-01", True),
        ("traceidratio", "0", f"00-{TRACE}-{PARENT}-01", False),
        ("traceidratio", "1", "", True),
    ],
)
def test_the_environments_sampler_says_which_traces_are_sent(
    sampler, share, traceparent, is_sent, monkeypatch
):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler or "parentbased_always_on")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", share)
    sent = InMemorySpanExporter()
    Tracer(SimpleSpanProcessor(sent)).hear(ended(context_of(traceparent)))
    assert bool(sent.get_finished_spans()) == is_sent


def ended(trace):
    """A request that was refused."""
    return Finished(
        request_id="job-1",
        at=time.time(),
        method="POST",
        route="/v1/classify",
        status=401,
        seconds=0.01,
        key="",
        identity=None,
        answered=(),
        tokens=0,
        tokens_out=0,
        queue_seconds=0.0,
        answered_after=0.0,
        reserved=0,
        trace=trace,
    )
