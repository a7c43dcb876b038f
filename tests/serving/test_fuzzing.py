"""Whatever is sent, the server answers in time, and never with a fault of its own."""

from __future__ import annotations

import json

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = 15
SECONDS = 10
JSON_HEADER = {"content-type": "application/json"}
CALM = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NEARLY = st.fixed_dictionaries(
    {"input": JSON_VALUES | st.text() | st.lists(st.text(), max_size=5)},
    optional={
        "model": JSON_VALUES,
        "top": JSON_VALUES,
        "questions": JSON_VALUES,
        "encoding_format": JSON_VALUES,
        "prediction_id": JSON_VALUES,
        "instances": JSON_VALUES,
        "dataframe_split": JSON_VALUES,
        "inputs": JSON_VALUES,
    },
)
WRITING = ("/v1/chat/completions", "/v1/completions", "/invocations")
NEARLY_WRITTEN = st.fixed_dictionaries(
    {
        "messages": JSON_VALUES
        | st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": st.text()})),
        "prompt": JSON_VALUES | st.text() | st.lists(st.integers(0, 3000), max_size=5),
    },
    optional={
        "temperature": JSON_VALUES | st.floats(0, 2),
        "n": JSON_VALUES | st.integers(1, 20),
        "stop": JSON_VALUES | st.text(),
        "seed": JSON_VALUES | st.integers(),
        "top_k": JSON_VALUES,
        "logprobs": JSON_VALUES,
        "stream": JSON_VALUES,
        "max_tokens": JSON_VALUES | st.integers(),
        "response_format": JSON_VALUES,
    },
)
PATHS = st.sampled_from(["/v1/classify", "/v1/embeddings", "/v1/decisions", "/v1/feedback", "/invocations"])
KINDS = st.sampled_from(["application/json", "text/csv", "application/problem+json", "", ";", "text/plain"])


def test_what_the_document_describes_is_answered_however_it_is_filled_in(server):
    assert walk(server, lambda _: True) > 10


def test_a_language_model_too_answers_whatever_is_asked(talking):
    assert walk(talking, lambda path: path in WRITING) == len(WRITING)


def walk(server, wanted) -> int:
    """Ask every path that is wanted; return how many there are."""
    # Its plug-in for pytest needs another version of pytest: the operations are walked here.
    document = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    found = [found.ok() for found in document.get_all_operations()]
    operations = [each for each in found if wanted(each.path)]
    for operation in operations:
        walked(operation, schemathesis.GenerationMode.POSITIVE)
        if "requestBody" in operation.definition.raw:  # nothing else can be filled in wrongly
            walked(operation, schemathesis.GenerationMode.NEGATIVE)
    return len(operations)


def walked(operation, mode) -> None:
    """Ask one path with what its description allows, or with what it doesn't."""

    @CALM
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case):
        answer = case.call(timeout=SECONDS)
        assert answer.status_code < 500, answer.text
        assert answer.headers["x-request-id"]
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}

    ask()


@settings(CALM, max_examples=150)
@given(path=PATHS, body=st.binary(max_size=400), kind=KINDS)
def test_any_bytes_are_answered(server, path, body, kind):
    refused(requests.post(server.url + path, data=body, headers={"content-type": kind}, timeout=SECONDS))


@settings(CALM, max_examples=200)
@given(path=PATHS, body=NEARLY | JSON_VALUES)
def test_any_json_is_answered(server, path, body):
    text = json.dumps(body)
    refused(
        requests.post(
            server.url + path, data=text, headers={"content-type": "application/json"}, timeout=SECONDS
        )
    )


@settings(CALM, max_examples=120)
@given(
    path=st.sampled_from(WRITING),
    body=NEARLY_WRITTEN | JSON_VALUES,
    left_out=st.sampled_from(["messages", "prompt"]),
)
def test_any_wish_for_writing_is_answered(talking, path, body, left_out):
    if isinstance(body, dict):
        body = {"max_tokens": 8, **{name: value for name, value in body.items() if name != left_out}}
    text = json.dumps(body)
    refused(requests.post(talking.url + path, data=text, headers=JSON_HEADER, timeout=SECONDS))


@settings(CALM, max_examples=60)
@given(
    name=st.sampled_from(
        ["authorization", "x-api-key", "x-request-id", "x-request-timeout", "traceparent", "content-type"]
    ),
    value=st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=80),
)
def test_any_header_is_answered(server, name, value):
    refused(
        requests.post(
            f"{server.url}/v1/classify",
            data=b'{"input": "x"}',
            headers={name: value.encode("latin-1")},
            timeout=SECONDS,
        )
    )


@pytest.mark.parametrize("which", ["server", "talking"])
def test_the_server_is_as_well_as_before(request, which):
    server = request.getfixturevalue(which)
    assert server.get("/health/ready").status_code == 200
    figures = server.figures()
    assert not [name for name in figures if 'status="500"' in name]
    assert not sum(
        figure for name, figure in figures.items() if name.startswith("tunewright_worker_restarts")
    )


def refused(answer: requests.Response) -> None:
    """An answer, or a refusal in the usual shape; a deadline that the request itself set may have passed."""
    assert answer.status_code < 500 or answer.status_code == 504, answer.text
    if answer.status_code >= 400:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
