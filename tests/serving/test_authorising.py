"""Who is let in: keys, scopes and limits at a real server."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import requests
from guarded import Guarded, project_with_config

UNKNOWN_PATHS = (
    "/v1/nothing",
    "/admin",
    "/v1",
    "/metrics/",
    "//metrics",
    "/healthy",
    "/v1/classify/",
    "/%2e%2e/x",
)


@pytest.fixture(scope="module")
def guarded(start, copies, tmp_path_factory) -> Guarded:
    """A server in a project with keys."""
    root = project_with_config(tmp_path_factory.mktemp("guarded"))
    secrets = {
        "asks": ["--scope", "infer"],
        "says": ["--scope", "feedback"],
        "scrapes": ["--scope", "metrics"],
        "rules": ["--scope", "admin"],
        "few": ["--requests-per-minute", "2"],
        "short": ["--tokens-per-minute", "40"],
        "leaves": [],
        "splits": ["--tokens-per-minute", "60"],
    }
    from tunewright.serving.keys import FILE, KeyStore

    made = Guarded(root, KeyStore(root / ".tunewright" / FILE))
    for name, words in secrets.items():
        made.make(name, *words)
    made.running = start(copies("openvino:fp32"), "serving.drain_notice_s=0", cwd=root)
    return made


def error_of(answer: requests.Response) -> dict:
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"]
    return answer.json()["error"]


SIGNED = "/v1/rollout/webhook"
"""MLflow signs what it sends there (test_hot_swap.py); where none is expected, nothing is there."""


def routes(guarded) -> list[tuple[str, str]]:
    """Every route of the document, and paths that are none."""
    document = guarded.ask("GET", "/openapi.json", "asks").json()
    known = [
        (method.upper(), re.sub(r"\{[^}]*\}", "any", path))
        for path, methods in document["paths"].items()
        for method in methods
    ]
    assert len(known) > 8
    return known + [(method, path) for path in UNKNOWN_PATHS for method in ("GET", "POST", "OPTIONS", "HEAD")]


def is_open(path: str) -> bool:
    """Whether a path is open to all: health, and the page for browsers, which bring no key to it."""
    return path == "/" or path.startswith(("/health/", "/page/"))


def test_no_path_but_health_and_the_page_answers_without_a_key(guarded):
    for method, path in [*routes(guarded), ("GET", "/openapi.json"), ("PUT", "/v1/classify")]:
        answer = guarded.ask(method, path)
        if is_open(path):
            assert answer.status_code == (404 if path == "/page/any" else 200)
            continue
        if path == SIGNED:
            assert answer.status_code == 404
            continue
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"] == "Bearer"
        if method != "HEAD":
            error = error_of(answer)
            assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
        for wrong in ("Basic eDp5", "Bearer", "Bearer tw-wrong", f"Bearer {'x' * 5000}"):
            assert guarded.ask(method, path, headers={"authorization": wrong}).status_code == 401, path


def test_a_scope_opens_its_routes_and_no_others(guarded):
    needs = {"/metrics": "scrapes", "/v1/feedback": "says"}
    for method, path in routes(guarded):
        if is_open(path) or path == SIGNED:
            continue
        if (method, path) == ("POST", "/v1/rollout"):
            assert guarded.ask(method, path, "asks").status_code == 403
            assert guarded.ask(method, path, "rules").status_code not in {401, 403}
            continue
        for name in ("asks", "says", "scrapes"):
            answer = guarded.ask(method, path, name)
            if name == needs.get(path, "asks"):
                assert answer.status_code not in {401, 403}, (method, path, name)
            else:
                assert answer.status_code == 403, (method, path, name)
        assert guarded.ask(method, path, "rules").status_code not in {401, 403}
    refused = error_of(guarded.ask("GET", "/metrics", "asks"))
    assert (refused["type"], refused["code"]) == ("permission_error", "insufficient_scope")
    assert "metrics" in refused["message"]


def test_every_usual_header_is_taken(guarded):
    secret = guarded.secrets["asks"]
    for headers in (
        {"authorization": f"Bearer {secret}"},
        {"authorization": f"bearer  {secret} "},
        {"x-api-key": secret},
        {"api-key": secret},
        {"authorization": "Basic eDp5", "x-api-key": secret},
    ):
        assert guarded.ask("GET", "/v1/models", headers=headers).status_code == 200


def test_the_openai_client_is_let_in_and_told_why_not(guarded):
    openai = pytest.importorskip("openai")
    base = f"{guarded.running.url}/v1"
    assert openai.OpenAI(base_url=base, api_key=guarded.secrets["asks"]).models.list().data
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=base, api_key="none", max_retries=0).models.list()
    with pytest.raises(openai.PermissionDeniedError):
        openai.OpenAI(base_url=base, api_key=guarded.secrets["says"], max_retries=0).models.list()


def test_requests_beyond_the_limit_are_told_when_to_come_back(guarded):
    first, second, third = (guarded.classify("x", "few") for _ in range(3))
    assert [each.status_code for each in (first, second, third)] == [200, 200, 429]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert [each.headers["x-ratelimit-remaining-requests"] for each in (first, second, third)] == [
        "1",
        "0",
        "0",
    ]
    assert 1 <= int(third.headers["retry-after"]) <= 30
    error = error_of(third)
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert guarded.classify("x", "asks").status_code == 200


def test_tokens_are_settled_when_the_answer_is_known(guarded):
    first = guarded.classify("ok", "short")
    used = first.json()["usage"]["total_tokens"]
    second = guarded.classify("ok", "short")
    left = [int(each.headers["x-ratelimit-remaining-tokens"]) for each in (first, second)]
    assert left[0] - left[1] in {used - 1, used}  # a second brings two thirds of a token back
    answers = [guarded.classify("word " * 60, "short") for _ in range(8)]
    assert 429 in {each.status_code for each in answers}
    assert "tokens" in error_of(answers[-1])["message"]


def test_tokens_that_are_only_shown_count_too(guarded):
    def split(text: str) -> requests.Response:
        headers = {"x-api-key": guarded.secrets["splits"]}
        return requests.post(
            f"{guarded.running.url}/v1/tokenize", json={"input": text}, headers=headers, timeout=10
        )

    first = split("ok")
    used = len(first.json()["tokens"])
    left = [int(each.headers["x-ratelimit-remaining-tokens"]) for each in (first, split("ok"))]
    assert left[0] - left[1] in {used - 1, used}
    assert 429 in {split("word " * 60).status_code for _ in range(8)}


def test_a_revoked_key_is_refused_at_the_next_request(guarded):
    assert guarded.classify("x", "leaves").status_code == 200
    guarded.store.revoke("leaves")
    assert guarded.classify("x", "leaves").status_code == 401


def test_a_damaged_key_file_closes_the_door(guarded):
    path = guarded.store.path
    whole = path.read_bytes()
    try:
        for damage in (whole[:-40], b"", b"[]"):
            path.write_bytes(damage)
            answer = guarded.classify("x", "rules")
            assert answer.status_code == 503
            assert error_of(answer)["code"] == "keys_unreadable"
            assert str(path) not in answer.text
        path.unlink()
        assert guarded.classify("x", "rules").status_code == 401
        assert guarded.classify("x").status_code == 401
    finally:
        path.write_bytes(whole)
        path.chmod(0o600)
    assert guarded.classify("x", "rules").status_code == 200


def test_the_first_key_closes_the_door_of_a_server_that_runs(start, copies, tmp_path):
    from tunewright.serving.keys import FILE, KeyStore

    root = project_with_config(tmp_path)
    running = start(copies("openvino:fp32"), "serving.drain_notice_s=0", cwd=root)
    assert running.classify("x").status_code == 200
    _, secret = KeyStore(root / ".tunewright" / FILE).make("new")
    assert running.classify("x").status_code == 401
    assert running.classify("x", headers={"x-api-key": secret}).status_code == 200
    assert running.end() == 0


def test_a_server_that_others_can_reach_asks_for_keys_or_is_told_not_to(start, copies, tmp_path):
    folder = str(copies("openvino:fp32"))
    words = [sys.executable, "-m", "tunewright", "serve", folder, "--port", "0", "--host", "0.0.0.0"]
    refused = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert refused.returncode == 2
    assert "serving.keys=off" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    open_to_all = start(
        folder, "--host", "0.0.0.0", "serving.keys=off", "serving.drain_notice_s=0", cwd=tmp_path
    )
    assert sum("warning" in line for line in open_to_all.said) == 1
    assert requests.post(
        open_to_all.url.replace("0.0.0.0", "127.0.0.1") + "/v1/classify",
        data=json.dumps({"input": "x"}),
        timeout=10,
    ).ok
    assert open_to_all.end() == 0
