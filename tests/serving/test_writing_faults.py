"""Answers that are being written when something goes wrong: none is lost, repeated or changed."""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from touchy_engine import written

PROMPT = "Lily and Tom went to the park"


@pytest.fixture(scope="module")
def expected(talker):
    """The text that stands behind a prompt when so many tokens are written undisturbed."""
    from tunewright.data.chat.rows import ChatRow

    def text(prompt: str, count: int) -> str:
        ids = list(talker.model.prompt(ChatRow(kind="completion", prompt=prompt)).ids)
        decode = talker.model.chat.tokenizer.decode
        before = decode(ids, skip_special_tokens=True)
        return decode([*ids, *written(ids, count)], skip_special_tokens=True)[len(before) :]

    return text


@pytest.fixture(scope="module")
def serve(start, touchy_writer):
    """Start a server of the touchy writer; by default a step takes 20 ms."""

    def call(*words, seconds=0.02, **settings):
        environment = touchy_writer.environment(seconds=seconds, **settings)
        words = ("serving.drain_notice_s=0.1", *words)
        return start(touchy_writer.folder, *words, environment=environment)

    return call


@pytest.fixture(scope="module")
def steady(serve):
    """A server that the tests share which don't end it; two answers at once, and a queue for a few more."""
    return serve("serving.slots=2", "serving.batch_timeout_s=2", "serving.queue_tokens=600")


def ask(server, prompt=PROMPT, tokens=40, **given):
    headers = given.pop("headers", {})
    body = {"prompt": prompt, "max_tokens": tokens, **given}
    return requests.post(
        f"{server.url}/v1/completions",
        json=body,
        headers=headers,
        timeout=60,
        stream=bool(given.get("stream")),
    )


def events(answer):
    for line in answer.iter_lines():
        if line.startswith(b"data: {"):
            yield json.loads(line[6:])


def text_of(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["text"]


def test_a_killed_worker_costs_no_token_and_gives_none_twice(steady, expected):
    with ThreadPoolExecutor(8) as pool:
        prompts = [PROMPT, "Once", "One day", "The dog"]
        asked = [pool.submit(ask, steady, prompt, 60) for prompt in prompts]
        stream = ask(steady, tokens=60, stream=True)
        text = ""
        for number, event in enumerate(events(stream)):
            text += event["choices"][0]["text"]
            if number in (5, 30):
                steady.worker.kill()
        assert text == expected(PROMPT, 60)
        assert [text_of(each.result()) for each in asked] == [expected(prompt, 60) for prompt in prompts]
    assert steady.figures()['tunewright_worker_restarts{model="copy"}'] >= 2


@pytest.mark.parametrize(("word", "why"), [("z", "ends the worker"), ("q", "ends the worker"), ("x", "")])
def test_one_prompt_that_harms_the_worker_alone_gets_the_error(steady, expected, word, why):
    with ThreadPoolExecutor(8) as pool:
        good = [pool.submit(ask, steady, PROMPT, 50) for _ in range(3)]
        bad = ask(steady, f"Tom {word}", 50)
        assert bad.status_code == 500
        assert why in bad.json()["error"]["message"]
        assert [text_of(each.result()) for each in good] == [expected(PROMPT, 50)] * 3
    assert text_of(ask(steady)) == expected(PROMPT, 40)


def test_a_reader_that_leaves_frees_its_slot(steady, expected):
    for _ in range(2):
        stream = ask(steady, tokens=180, stream=True)
        next(events(stream))
        stream.close()
    began = time.monotonic()
    assert text_of(ask(steady, tokens=3)) == expected(PROMPT, 3)
    assert time.monotonic() - began < 2, "both would have gone on for 3.6 s"
    with pytest.raises(requests.Timeout):
        requests.post(f"{steady.url}/v1/completions", json={"prompt": PROMPT, "max_tokens": 180}, timeout=0.5)
    end = time.monotonic() + 2
    while steady.figures()["tunewright_requests_in_flight"] > 1:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_full_queue_is_said_at_once(steady, expected):
    with ThreadPoolExecutor(16) as pool:
        began = time.monotonic()
        answers = list(pool.map(lambda _: (ask(steady, tokens=100), time.monotonic() - began), range(16)))
    refused = [(answer, seconds) for answer, seconds in answers if answer.status_code == 429]
    assert 2 <= len(refused) <= 13
    assert all(seconds < 1 for _, seconds in refused)
    assert all(int(answer.headers["retry-after"]) >= 1 for answer, _ in refused)
    good = [answer for answer, _ in answers if answer.status_code != 429]
    assert {text_of(answer) for answer in good} == {expected(PROMPT, 100)}


def test_a_deadline_ends_the_work(steady, expected):
    late = ask(steady, tokens=150, headers={"x-request-timeout": "0.3"})
    assert late.status_code == 504
    began = time.monotonic()
    assert text_of(ask(steady, tokens=5)) == expected(PROMPT, 5)
    assert time.monotonic() - began < 1.5
    stream = ask(steady, tokens=60, stream=True, headers={"x-request-timeout": "0.5"})
    text = "".join(event["choices"][0]["text"] for event in events(stream))
    assert text == expected(PROMPT, 60), "a stream that has begun is written to its end"


def test_a_stream_that_can_not_go_on_says_so_in_the_stream(serve):
    server = serve(deadly_step=8)
    stream = ask(server, "Tom z", 60, stream=True)
    assert stream.status_code == 200
    found = list(events(stream))
    assert len(found) == 3 * 7 + 1, "three workers wrote seven tokens each"
    assert found[-1]["error"]["type"] == "server_error"


def test_streams_are_written_to_their_end_when_the_server_is_told_to_end(serve, expected):
    server = serve()
    stream = ask(server, tokens=60, stream=True)
    text = ""
    for number, event in enumerate(events(stream)):
        text += event["choices"][0]["text"]
        if number == 3:
            server.process.send_signal(signal.SIGTERM)
        if number == 10:
            assert ask(server, tokens=3).status_code == 503
    assert text == expected(PROMPT, 60)
    assert server.process.wait(20) == 0


def test_an_engine_that_can_not_heed_a_setting_is_named(steady):
    body = {"messages": [{"role": "user", "content": "Hi"}], "response_format": {"type": "json_object"}}
    found = requests.post(f"{steady.url}/v1/chat/completions", json=body, timeout=10)
    assert found.status_code == 400
    assert (
        "the engine touchy can't heed a JSON schema; use another engine" in found.json()["error"]["message"]
    )
