"""Over HTTP, through a real server's process: answers, protocols, refusals."""

from __future__ import annotations

import base64
import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import requests

from running import LABELS, TEXTS

CLOSE = 2e-4
"""fp32 on another engine."""


def error_of(response: requests.Response) -> dict:
    """Every error has OpenAI's shape and the headers of every answer."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    assert response.headers["x-model"]
    return body["error"]


def test_texts_are_classified_as_the_model_does(server, classifier):
    answer = server.classify(TEXTS)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    for found, expected in zip(body["data"], classifier.predict(TEXTS), strict=True):
        assert found["label"] == expected.label
        assert found["probability"] == pytest.approx(expected.probability, abs=CLOSE)
        assert found["probabilities"] == pytest.approx(expected.probabilities, abs=CLOSE)
    assert body["usage"]["prompt_tokens"] == sum(map(len, classifier.encode(TEXTS)))
    assert answer.headers["x-prediction-id"] == body["id"]
    assert [each["id"] for each in body["data"]] == [f"{body['id']}-{at}" for at in range(len(TEXTS))]
    assert answer.headers["x-model-version"] == body["model_version"]


def test_one_text_and_the_likeliest_label_alone(server):
    body = server.classify("Where is my order?", top=1).json()
    (only,) = body["data"]
    assert only["probabilities"] == {only["label"]: only["probability"]}


def test_a_request_keeps_its_own_id_when_that_is_a_plain_word(server):
    given = server.classify("x", headers={"x-request-id": "job-7:a"})
    assert given.headers["x-request-id"] == "job-7:a"
    made = server.classify("x", headers={"x-request-id": "a b{}"})
    assert made.headers["x-request-id"].startswith("req_")


def test_many_at_once_get_their_own_answers(server, classifier):
    texts = [f"{TEXTS[at % len(TEXTS)]} number {at} {'very ' * (at % 23)}" for at in range(150)]
    expected = classifier.predict(texts)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda text: server.classify(text).json()["data"][0], texts))
    for found, wanted in zip(answers, expected, strict=True):
        assert found["probabilities"] == pytest.approx(wanted.probabilities, abs=CLOSE)


def test_the_openai_client_gets_embeddings(server, classifier):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    model = client.models.list().data[0].id
    compact = client.embeddings.create(model=model, input=TEXTS)
    plain = client.embeddings.create(model=model, input=TEXTS, encoding_format="float")
    vectors = np.array([each.embedding for each in compact.data])
    assert np.array_equal(vectors, np.array([each.embedding for each in plain.data]))
    assert np.abs(vectors - classifier.features(TEXTS)).max() < 1e-3
    raw = requests.post(
        f"{server.url}/v1/embeddings", json={"input": "x", "encoding_format": "base64"}, timeout=10
    ).json()
    assert len(base64.b64decode(raw["data"][0]["embedding"])) == 4 * vectors.shape[1]
    with pytest.raises(openai.NotFoundError, match="no model"):
        client.embeddings.create(model="other", input="x")
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model=model, input="x", dimensions=7)


def test_the_openai_client_gets_decisions(server, classifier):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    (expected,) = classifier.predict(TEXTS[:1])
    choices = [{"value": label} for label in LABELS]
    decision = client.decisions.create(
        model=client.models.list().data[0].id,
        input=[{"role": "user", "content": TEXTS[0]}],
        questions=[
            {"type": "choice", "instructions": "What?", "choices": choices, "name": "all"},
            {"type": "choice", "instructions": "Which?", "choices": choices[:2]},
            {"type": "predicate", "instructions": "order", "name": "is it"},
            {"type": "choice", "instructions": "?", "choices": [{"value": True}, {"value": False}]},
            {"type": "score", "instructions": "?", "levels": [{"label": "low"}, {"label": "high"}]},
        ],
    )
    whole, part, predicate, strange, score = decision.answers
    assert (whole.choice, whole.name) == (expected.label, "all")
    assert whole.confidence == pytest.approx(expected.probability, abs=CLOSE)
    assert sum(each.probability for each in whole.probabilities) == pytest.approx(1)
    assert sum(each.probability for each in part.probabilities) == pytest.approx(1)
    assert predicate.probability == pytest.approx(expected.probabilities["order"], abs=CLOSE)
    assert (strange.type, score.type) == ("refusal", "refusal")
    assert decision.usage.total_tokens == len(classifier.encode(TEXTS[:1])[0])


def test_mlflows_scoring_client_gets_what_the_packaged_model_says(server, classifier):
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    host, port = server.url.removeprefix("http://").split(":")
    client = ScoringServerClient(host, port)
    client.ping()
    assert re.fullmatch(r"\d+\.\d+.*", client.get_version())
    expected = [
        (each.label, pytest.approx(each.probability, abs=CLOSE)) for each in classifier.predict(TEXTS)
    ]
    for given in (pd.DataFrame({"id": range(len(TEXTS)), "text": TEXTS}), pd.DataFrame({"t": TEXTS}), TEXTS):
        frame = client.invoke(given).get_predictions()
        assert list(frame.columns) == ["label", "probability"]
        assert list(frame.itertuples(index=False, name=None)) == expected
    wide = client.invoke(TEXTS, params={"probabilities": True}).get_predictions()
    assert list(wide.columns) == ["label", "probability", *(f"probability_{name}" for name in LABELS)]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"instances": ["a", "b"]}, "json"),
        ({"instances": [{"text": "a"}, {"text": "b"}]}, "json"),
        ({"inputs": {"text": ["a", "b"]}}, "json"),
        ({"inputs": [["a"], ["b"]]}, "json"),
        ({"dataframe_records": [{"n": 1, "text": "a"}, {"n": 2, "text": "b"}]}, "json"),
        ({"dataframe_split": {"columns": ["text"], "index": [0, 1], "data": [["a"], ["b"]]}}, "json"),
        ("text\na\nb\n", "csv"),
        (",text,n\n0,a,1\n1,b,2\n", "csv"),
        (',message\n0,"a"\n1,b\n', "csv"),
    ],
)
def test_each_form_of_mlflows_protocol_is_read(server, body, kind):
    data = body if kind == "csv" else json.dumps(body)
    form = {"content-type": "text/csv" if kind == "csv" else "application/json; charset=utf-8"}
    answer = requests.post(f"{server.url}/invocations", data=data, headers=form, timeout=10)
    assert answer.status_code == 200, answer.text
    assert [each["label"] for each in answer.json()["predictions"]] == [
        each["label"] for each in server.classify(["a", "b"]).json()["data"]
    ]


@pytest.mark.parametrize(
    ("path", "body", "status", "parts"),
    [
        ("/v1/classify", {"input": [1]}, 400, ["input[0]", "expected `str`"]),
        ("/v1/classify", {"inputs": "x"}, 400, ["unknown field `inputs`"]),
        ("/v1/classify", {"input": []}, 400, ["input: is empty"]),
        ("/v1/classify", {"input": "x", "top": 0}, 400, ["top", ">= 1"]),
        ("/v1/classify", {"input": "x", "model": "othr"}, 404, ["no model 'othr'"]),
        ("/v1/classify", {"input": ["x"] * 257}, 400, ["257 texts", "256"]),
        ("/v1/classify", {"input": ["ok", "x" * 20_001]}, 400, ["input[1]", "20,001 characters"]),
        ("/v1/classify", {"input": "x" * 1_100_000}, 413, ["1,048,576 bytes"]),
        ("/v1/classify", b"{", 400, ["not valid JSON"]),
        ("/v1/classify", b'{"input": "\xff"}', 400, ["not valid JSON"]),
        ("/v1/classify", b"[" * 100_000, 400, ["body"]),
        ("/v1/decisions", {"input": "x", "questions": []}, 400, ["questions", "length >= 1"]),
        ("/v1/nothing", {}, 404, ["/v1/nothing: no such path"]),
        ("/v1/models", {}, 405, ["doesn't take POST"]),
        ("/invocations", {"inputs": ["x"], "instances": ["x"]}, 400, ["gives instances and inputs"]),
        ("/invocations", {"inputs": ["x", None]}, 400, ["row 2 holds no text"]),
        ("/invocations", {"inputs": [3]}, 400, ["row 1 is int"]),
        ("/invocations", {"dataframe_split": {"columns": ["text"], "data": 3}}, 400, ["no rows"]),
    ],
)
def test_what_can_not_be_answered_is_refused_with_a_clear_line(server, path, body, status, parts):
    data = body if isinstance(body, bytes) else json.dumps(body)
    answer = requests.post(
        server.url + path, data=data, headers={"content-type": "application/json"}, timeout=10
    )
    assert answer.status_code == status, answer.text
    error = error_of(answer)
    assert all(part in error["message"] for part in parts), error
    assert error["type"] == "invalid_request_error"


def test_other_content_types_are_refused(server):
    for path in ("/v1/classify", "/invocations"):
        answer = requests.post(
            server.url + path, data="x", headers={"content-type": "application/x-parquet"}, timeout=10
        )
        assert answer.status_code == 415
        error_of(answer)


def test_a_body_that_is_too_long_is_refused_without_being_read(server):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as line:
        line.sendall(b"POST /v1/classify HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            send_often(line, piece)


def send_often(line: socket.socket, piece: bytes) -> None:
    for _ in range(1000):
        line.sendall(piece)
        time.sleep(0.001)


def test_an_answer_that_would_come_too_late_is_not_waited_for(server):
    began = time.monotonic()
    answer = server.classify("x", headers={"x-request-timeout": "0.000001"})
    assert answer.status_code == 504
    assert error_of(answer)["type"] == "timeout_error"
    assert time.monotonic() - began < 1
    assert server.classify("x", headers={"x-request-timeout": "soon"}).status_code == 400
    assert server.classify("x", headers={"x-request-timeout": "5"}).status_code == 200


def test_health_models_and_the_document(server):
    assert server.get("/health/live").json() == {"status": "ready"}
    assert server.get("/health/ready").status_code == 200
    (card,) = server.get("/v1/models").json()["data"]
    assert card["labels"] == list(LABELS)
    assert card["engine"] == "openvino:fp32"
    assert server.get(f"/v1/models/{card['id']}").json() == card
    assert server.get(f"/v1/models/{card['id']}/{card['version']}").json() == card
    document = server.get("/openapi.json").json()
    for path in ("/v1/classify", "/v1/embeddings", "/v1/decisions", "/invocations"):
        assert document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]


def test_every_example_of_the_document_is_answered(server, talking):
    assert len(answered_examples(server) | answered_examples(talking)) > 15


def answered_examples(server) -> set[str]:
    """Post every example; each is answered, or said to be for a model of the other task."""
    answered = set()
    for path, methods in server.get("/openapi.json").json()["paths"].items():
        if path.startswith("/v1/rollout"):
            continue  # there is nothing to promote here
        for kind, each in methods.get("post", {}).get("requestBody", {}).get("content", {}).items():
            bodies = [json.dumps(item["value"]) for item in each.get("examples", {}).values()]
            for body in bodies or [each["example"]]:
                answer = requests.post(
                    server.url + path, data=body, headers={"content-type": kind}, timeout=10
                )
                is_other_task = answer.status_code == 400 and answer.json()["error"]["code"] == "wrong_task"
                assert answer.status_code == 200 or is_other_task, (path, body, answer.text)
                if answer.status_code == 200:
                    answered.add(f"{path} {body}")
    return answered


def test_the_figures_tell_what_was_done(server):
    before = server.figures()
    server.classify(["one text", "another"])
    server.classify([1])
    after = server.figures()

    def gained(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert gained('tunewright_requests_total{route="/v1/classify",status="200"}') == 1
    assert gained('tunewright_requests_total{route="/v1/classify",status="400"}') == 1
    (tokens,) = [name for name in after if name.startswith("tunewright_tokens_total")]
    assert gained(tokens) > 0
    for start in ("tunewright_queue_seconds_count", "tunewright_batch_fill_sum", "tunewright_model_info",
                  "tunewright_worker_memory_bytes", "tunewright_batch_seconds_count"):  # fmt: skip
        assert any(name.startswith(start) and value > 0 for name, value in after.items()), start
    assert after['tunewright_state{state="ready"}'] == 1
