"""How a model reads a text, as the server shows it."""

from __future__ import annotations

import requests

from running import TEXTS


def split(server, text, **options) -> requests.Response:
    return requests.post(f"{server.url}/v1/tokenize", json={"input": text, **options}, timeout=10)


def test_the_tokens_are_those_that_the_model_is_given(server, classifier):
    for text in [*TEXTS, "Wo ist 😀 Äpfel?", "", "a\tb\nc"]:
        found = split(server, text).json()
        assert [each["id"] for each in found["tokens"]] == classifier.encode([text])[0]
        assert found["cut"] == 0


def test_each_token_says_what_it_covers(server):
    found = split(server, "Thanks 😀 parcel!").json()
    text = found["text"]
    assert all(each["text"] == text[each["start"] : each["end"]] for each in found["tokens"])
    assert "".join(each["text"] for each in found["tokens"]) == text.replace(" ", "")
    assert [found["tokens"][at]["token"] for at in (0, -1)] == ["[CLS]", "[SEP]"]
    assert [each["token"] for each in found["tokens"] if each["text"] == "😀"] == ["[UNK]"]


def test_what_a_long_text_loses_is_told(server, classifier):
    word = split(server, "order").json()["tokens"]
    found = split(server, "order " * 100).json()
    assert len(found["tokens"]) == classifier.max_length
    assert found["cut"] == 100 * (len(word) - 2) - (classifier.max_length - 2)
    long = split(server, "order " * 3000).json()
    assert long["cut"] == 3000 * (len(word) - 2) - (classifier.max_length - 2)


def test_limits_and_names_are_those_of_other_requests(paired):
    server = paired.server
    assert split(server, "x" * 20_001).json()["error"]["code"] == "text_too_long"
    assert split(server, ["x"]).status_code == 400
    assert split(server, "x", model="nothing").status_code == 404
    for name in ("mail", "opposite"):
        answer = split(server, "x", model=name)
        assert (answer.json()["model"], answer.headers["x-model"]) == (name, name)


def test_no_model_works_for_it_and_nothing_is_logged(paired):
    before = paired.server.figures()
    assert split(paired.server, "x").status_code == 200
    after = paired.server.figures()
    for name in ('tunewright_tokens_total{model="mail"}', 'tunewright_request_log_records{state="waiting"}'):
        assert after[name] == before[name], name
