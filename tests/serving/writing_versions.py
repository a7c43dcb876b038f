"""A language model with versions that answer differently, and clients that hold each answer against its version."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import requests
from clients import Clients
from swapping import FORM, Followed, open_followed, put_copy

ASKED = (
    "Tell me a story.",
    "Where is the cat?",
    "Who has the red ball, Tom or Lily?",
    "What did the dog do?",
    "Why is the bird sad?",
)
FEWEST, MOST = 16, 40
"""Tokens of an answer."""
PAUSE_S = 0.02
"""Between two requests of a client: what matters is when they come, not how many."""


@dataclass
class WritingVersions(Followed):
    """A project with the language model ``chat``."""

    expected: dict[str, dict[str, list[str]]]
    """Version to question to what is written within 0, 1, 2 … tokens."""


def make_writing_versions(root: Path, calm, other) -> WritingVersions:
    """Log three versions, each with its copy beside it: one subject, the other, and the other on the late engine."""
    from tunewright.engines.conversion import convert
    from tunewright.engines.interface import Form
    from tunewright.registry.executions import execution
    from tunewright.registry.language_models import log_language_model
    from tunewright.registry.models import register

    followed = open_followed(root, "chat")
    tracking, logged, expected = followed.tracking, None, {}
    with execution(tracking, "train", params={}, tags={}) as run:
        for subject, engines in ((calm, ["openvino"]), (other, ["openvino", "late"])):
            certificate = subject.certificate
            logged = log_language_model(run, subject.model, certificate=certificate, base=logged)
            copy = convert(subject.source, Form.parse(FORM), root / "cache", language=subject.facts)
            said = {asked: answers(subject.model, asked) for asked in ASKED}
            for engine in engines:
                version = register(tracking, logged)
                put_copy(tracking, version, copy, engine)
                expected[str(version.version)] = said
    return WritingVersions(**vars(followed), expected=expected)


def answers(model, asked: str) -> list[str]:
    """Return what a model answers within so many tokens."""
    from tunewright.data.chat.rows import ChatRow, Message

    row = ChatRow(kind="conversation", messages=(Message(role="user", content=asked),))
    (ids,) = model.write_ids([model.prompt(row).ids], max_new_tokens=MOST, batch_size=1)
    return [model.text(ids[:count]) for count in range(MOST + 1)]


@dataclass
class Readers(Clients):
    """Clients that ask at once or for a stream; each answer must be wholly that of the version which it names."""

    versions: WritingVersions
    by_version: Counter = field(default_factory=Counter)
    faults: list = field(default_factory=list)
    """Requests without an answer, or with a wrong one."""
    broken_off: Counter = field(default_factory=Counter)
    """Streams by version that said within the stream that they can't go on."""

    def ask(self, chance: random.Random, session: requests.Session) -> bool:
        asked, tokens = chance.choice(ASKED), chance.randint(FEWEST, MOST)
        time.sleep(PAUSE_S)
        body = chat_body(asked, tokens)
        streams = chance.random() < 0.5
        try:
            answer = session.post(
                f"{self.url}/v1/chat/completions",
                json={**body, "stream": True} if streams else body,
                timeout=60,
                stream=streams,
            )
            if answer.status_code != 200:
                self.faults.append((answer.status_code, answer.text))
            elif streams:
                self.check_stream(asked, tokens, answer)
            else:
                found = answer.json()
                self.check(asked, tokens, answer, found["choices"][0]["message"]["content"], [found])
        except (requests.RequestException, AssertionError) as error:
            self.faults.append(repr(error))
        return True

    def check_stream(self, asked: str, tokens: int, answer: requests.Response) -> None:
        events = list(read_events(answer))
        if "error" in events[-1]:
            self.broken_off[answer.headers["x-model-version"]] += 1
            return
        text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
        assert events[-1]["choices"][0]["finish_reason"], events
        self.check(asked, tokens, answer, text, events)

    def check(self, asked: str, tokens: int, answer: requests.Response, text: str, bodies: list) -> None:
        version = answer.headers["x-model-version"]
        named = {body["system_fingerprint"].partition("-")[0] for body in bodies}
        if text != self.versions.expected[version][asked][tokens] or named != {version}:
            self.faults.append((version, named, asked, tokens, text))
        self.by_version[version] += 1


def chat_body(asked: str, tokens: int, **given) -> dict:
    return {"messages": [{"role": "user", "content": asked}], "max_tokens": tokens, **given}


def read_events(answer: requests.Response):
    """Give the events of a stream, which must end as one does."""
    last = b""
    for line in filter(None, answer.iter_lines()):
        last = line
        if line.startswith(b"data: {"):
            yield json.loads(line[6:])
    assert last == b"data: [DONE]", last
