"""A language model behind the server: answers are the model's own, by every route, at once and as streams."""

from __future__ import annotations

import json
import math
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from openai import BadRequestError, OpenAI

from language_subjects import ROWS

PROMPTS = [
    "Once upon a time",
    "Lily and Tom went to the park. They saw",
    "The dog was sad because",
    "One day, a big bird",
]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "serving-language-models.md"
CHAT = [{"role": "user", "content": "Tell me a story."}]


@pytest.fixture(scope="module")
def client(talking):
    return OpenAI(base_url=f"{talking.url}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def name(client):
    return client.models.list().data[0].id


def post(talking, path, **body):
    return requests.post(f"{talking.url}{path}", json=body, timeout=60)


def own(talker, row, tokens):
    """What the model itself answers to a row, as text."""
    ids = talker.model.write_ids([talker.model.prompt(row).ids], max_new_tokens=tokens, batch_size=1)[0]
    return talker.model.text(ids)


def gone_on(talker, prompt, tokens):
    """What stands behind a text when the model has gone on with it."""
    from tunewright.data.chat.rows import ChatRow

    ids = talker.model.prompt(ChatRow(kind="completion", prompt=prompt)).ids
    new = talker.model.write_ids([ids], max_new_tokens=tokens, batch_size=1)[0]
    decode = talker.model.chat.tokenizer.decode
    return decode([*ids, *new], skip_special_tokens=True)[len(decode(ids, skip_special_tokens=True)) :]


def test_completions_are_the_models_own_alone_and_side_by_side(talking, talker, name, client):
    wanted = [gone_on(talker, prompt, 40) for prompt in PROMPTS]

    def ask(prompt):
        return client.completions.create(model=name, prompt=prompt, max_tokens=40).choices[0].text

    assert [ask(prompt) for prompt in PROMPTS] == wanted
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, PROMPTS * 6)) == wanted * 6
    together = client.completions.create(model=name, prompt=PROMPTS, max_tokens=40)
    assert [choice.text for choice in together.choices] == wanted
    assert together.usage.completion_tokens == 4 * 40


def test_a_conversation_is_rendered_by_the_models_template(talker, client, name):
    for row in ROWS:
        found = client.chat.completions.create(
            model=name, messages=[{"role": "user", "content": row.messages[0].content}], max_tokens=30
        )
        assert found.choices[0].message.content == own(talker, row, 30)
        assert found.usage.prompt_tokens == len(talker.model.prompt(row).ids)
        assert found.choices[0].finish_reason == "length"


def test_token_ids_are_gone_on_from(talking, talker):
    ids = list(talker.prompts[0])
    found = post(talking, "/v1/completions", prompt=ids, max_tokens=30).json()
    assert found["choices"][0]["text"].strip() == own(talker, ROWS[0], 30)
    assert found["usage"] == {
        "prompt_tokens": len(ids),
        "completion_tokens": 30,
        "total_tokens": len(ids) + 30,
    }


def test_a_stream_says_the_same(client, name):
    given = {"model": name, "messages": CHAT, "max_tokens": 50, "temperature": 0.9, "seed": 5, "n": 3}
    whole = client.chat.completions.create(**given)
    stream = client.chat.completions.create(**given, stream=True, stream_options={"include_usage": True})
    texts, reasons, roles, usage = ["", "", ""], {}, set(), None
    for event in stream:
        usage = event.usage or usage
        for choice in event.choices:
            texts[choice.index] += choice.delta.content or ""
            roles.add((choice.index, choice.delta.role)) if choice.delta.role else None
            if choice.finish_reason:
                reasons[choice.index] = choice.finish_reason
    assert texts == [choice.message.content for choice in whole.choices]
    assert len(set(texts)) == 3
    assert reasons == {choice.index: choice.finish_reason for choice in whole.choices}
    assert roles == {(at, "assistant") for at in range(3)}
    assert usage == whole.usage
    plain = "".join(
        event.choices[0].text
        for event in client.completions.create(model=name, prompt=PROMPTS[0], max_tokens=40, stream=True)
        if event.choices
    )
    assert plain == client.completions.create(model=name, prompt=PROMPTS[0], max_tokens=40).choices[0].text


def test_a_seed_repeats_what_was_drawn(client, name):
    def ask(seed):
        return (
            client.completions.create(model=name, prompt=PROMPTS[0], max_tokens=30, temperature=1, seed=seed)
            .choices[0]
            .text
        )

    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(ask, [1, 2, 3, 4] * 4))
    assert drawn == drawn[:4] * 4
    assert len(set(drawn[:4])) == 4
    unseeded = {
        client.completions.create(model=name, prompt=PROMPTS[0], max_tokens=30, temperature=1).choices[0].text
        for _ in range(3)
    }
    assert len(unseeded) == 3


def test_nothing_is_written_behind_a_stop_word(client, name):
    """The engine doesn't know the word; each answer that has come to it gives its slot back at once."""
    given = {"model": name, "max_tokens": 100, "temperature": 0}
    for prompt in (PROMPTS[0], PROMPTS):
        whole = client.completions.create(prompt=prompt, **given)
        stop = whole.choices[0].text[20:23]
        found = client.completions.create(prompt=prompt, stop=stop, **given)
        assert [each.text for each in found.choices] == [
            each.text.partition(stop)[0] for each in whole.choices
        ]
        most = sum(100 if each.finish_reason == "length" else 1 + len(each.text) for each in found.choices)
        assert found.usage.completion_tokens <= most
        assert found.usage.completion_tokens < whole.usage.completion_tokens


def test_an_answer_ends_before_a_stop_word(client, name):
    whole = client.completions.create(model=name, prompt=PROMPTS[0], max_tokens=60).choices[0].text
    for stop in (whole[20:23], whole[31:38], [whole[40:44], "never said"]):
        cut = whole[: whole.index(stop if isinstance(stop, str) else stop[0])]
        given = {"model": name, "prompt": PROMPTS[0], "max_tokens": 60, "stop": stop}
        found = client.completions.create(**given).choices[0]
        assert (found.text, found.finish_reason) == (cut, "stop")
        events = [e.choices[0] for e in client.completions.create(**given, stream=True) if e.choices]
        assert "".join(each.text for each in events) == cut
        assert events[-1].finish_reason == "stop"


def test_likelihoods_are_the_models_own(client, name, talker):
    found = client.chat.completions.create(model=name, messages=CHAT, max_tokens=25, logprobs=True)
    tokens = found.choices[0].logprobs.content
    said = found.choices[0].message.content
    assert "".join(each.token for each in tokens).strip() == said
    assert bytes(byte for each in tokens for byte in each.bytes).decode().strip() == said
    prompt = list(talker.prompts[0])
    ids = talker.model.write_ids([prompt], max_new_tokens=25, batch_size=1)[0]
    mask = [False] * len(prompt) + [True] * len(ids)
    own = talker.model.log_likelihoods([[*prompt, *ids]], [mask], 1)[0]
    assert [each.logprob for each in tokens] == pytest.approx(own, abs=2e-3)
    text = client.completions.create(model=name, prompt=PROMPTS[0], max_tokens=25, logprobs=0).choices[0]
    assert text.logprobs.text_offset == [
        len("".join(text.logprobs.tokens[:at])) for at in range(len(text.logprobs.tokens))
    ]
    assert all(value <= 0 and math.isfinite(value) for value in text.logprobs.token_logprobs)


def test_its_page_says_what_can_be_done(talking):
    page = PAGE.read_text(encoding="utf-8").replace("http://127.0.0.1:8000", talking.url)
    blocks = re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    shell = next(block for block in blocks if block.startswith("curl"))
    said = subprocess.run(["sh", "-e"], input=shell, capture_output=True, text=True, check=True).stdout
    assert json.loads(said.splitlines()[0].partition("data: ")[0])["object"] == "chat.completion"
    assert said.rstrip().endswith("data: [DONE]")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    assert names["text"]


def test_every_answer_says_who_gave_it(talking, name):
    for given in ({}, {"stream": True}):
        found = post(talking, "/v1/chat/completions", messages=CHAT, max_tokens=5, **given)
        assert found.status_code == 200
        assert found.headers["x-model"] == name
        assert found.headers["x-request-id"].startswith("req_")
        first = json.loads(found.text.removeprefix("data: ").splitlines()[0])
        assert first["id"] == found.headers["x-prediction-id"]
        assert first["model"] == name
    assert found.headers["content-type"].startswith("text/event-stream")
    card = talking.get("/v1/models").json()["data"][0]
    assert (card["task"], card["max_tokens"], card["labels"]) == ("generation", 192, [])


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/classify", {"input": "x"}, "ask /v1/chat/completions"),
        ("/v1/embeddings", {"input": "x"}, "is a language model"),
        ("/v1/chat/completions", {"messages": []}, "messages"),
        ("/v1/chat/completions", {"messages": CHAT, "temperature": 3}, "temperature"),
        ("/v1/chat/completions", {"messages": CHAT, "n": 99}, "n: is 99, allowed are 16"),
        ("/v1/chat/completions", {"messages": CHAT, "stop": ["a"] * 5}, "stop: takes up to 4"),
        ("/v1/chat/completions", {"messages": CHAT, "stop": ""}, "stop: takes up to 4"),
        ("/v1/chat/completions", {"messages": CHAT, "top_logprobs": 2}, "needs logprobs"),
        ("/v1/chat/completions", {"messages": CHAT, "frequency_penalty": 1}, "frequency_penalty"),
        ("/v1/chat/completions", {"messages": CHAT, "max_tokens": 1, "max_completion_tokens": 1}, "only one"),
        ("/v1/chat/completions", {"messages": CHAT, "tools": []}, "tools"),
        ("/v1/chat/completions", {"messages": [{"role": "tool", "content": "x"}]}, "calls of tools"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a " * 300}]}, "leaves no room"),
        ("/v1/chat/completions", {"messages": CHAT, "model": "other"}, "no model 'other'"),
        ("/v1/chat/completions", {"messages": CHAT, "response_format": {"type": "json_schema"}}, "schema"),
        (
            "/v1/chat/completions",
            {"messages": CHAT, "response_format": {"type": "json_object"}},
            "JSON schema",
        ),
        ("/v1/chat/completions", {"messages": CHAT, "logprobs": True, "top_logprobs": 1}, "other tokens"),
        ("/v1/completions", {"prompt": []}, "prompt"),
        ("/v1/completions", {"prompt": [1, "a"]}, "numbers beside texts"),
        ("/v1/completions", {"prompt": [4_000_000]}, "token id outside 0 to 2,047"),
        ("/v1/completions", {"prompt": "a", "best_of": 3}, "best_of"),
        ("/v1/completions", {"prompt": "a", "echo": True}, "echo"),
        ("/v1/completions", {"prompt": ["a"] * 200, "n": 2}, "asks for 400 answers"),
        ("/invocations", {"inputs": ["x"]}, "holds no conversation"),
    ],
)
def test_what_can_not_be_done_is_said(talking, path, body, said):
    found = post(talking, path, **body)
    assert found.status_code == (404 if "other" in said and "no model" in said else 400), found.text
    assert said in found.json()["error"]["message"]
    streamed = post(talking, path, **{**body, "stream": True}) if path.endswith("completions") else found
    assert streamed.status_code == found.status_code, "before the head is out, a stream fails as plainly"


def test_an_unknown_word_of_openais_client_is_its_own_error(client, name):
    with pytest.raises(BadRequestError, match="JSON schema"):
        client.chat.completions.create(
            model=name, messages=CHAT, response_format={"type": "json_object"}, max_tokens=4
        )


def test_mlflows_client_gets_the_answer_of_the_packaged_model(talking, talker):
    import pandas as pd
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    client = ScoringServerClient("127.0.0.1", int(talking.url.rpartition(":")[2]))
    table = pd.DataFrame({"messages": [CHAT, CHAT]})
    answers = client.invoke(table)["predictions"]
    wanted = own(talker, ROWS[0], 192 - len(talker.prompts[0]))
    assert [each["choices"][0]["message"]["content"] for each in answers] == [wanted] * 2
    alone = post(talking, "/invocations", inputs={"messages": CHAT}).json()["predictions"]
    assert alone["choices"][0]["message"]["content"] == wanted
    direct = post(talking, "/invocations", messages=CHAT, max_tokens=7, temperature=1.0).json()
    assert direct["choices"][0]["message"]["content"] == own(talker, ROWS[0], 7)


def test_figures_tell_of_tokens(talking):
    before = talking.figures()
    post(talking, "/v1/completions", prompt="Once", max_tokens=33)
    after = talking.figures()

    def grown(start):
        return sum(after[key] - before.get(key, 0) for key in after if key.startswith(start))

    assert grown("tunewright_written_tokens_total") == 33
    assert grown("tunewright_first_token_seconds_count") == 1
    assert grown("tunewright_token_seconds_count") == 32


def test_the_request_log_holds_prompt_and_answer(talking, talker):
    import time

    from tunewright.monitoring.reading import find
    from tunewright.monitoring.request_log import FOLDER
    from tunewright.support.errors import InputError
    from tunewright.support.paths import ProjectPaths

    found = post(talking, "/v1/chat/completions", messages=CHAT, max_tokens=12).json()
    log = ProjectPaths(talking.root).state / FOLDER
    end = time.monotonic() + 20
    while True:
        try:
            row = find(log, f"{found['id']}-0")
            break
        except InputError:
            assert time.monotonic() < end
            time.sleep(0.2)
    assert row["answer"] == found["choices"][0]["message"]["content"]
    assert row["text"] == talker.certificate.probes[0].prompt
    assert (row["tokens_in"], row["tokens_out"]) == (len(talker.prompts[0]), 12)
    told = post(talking, "/v1/feedback", prediction_id=found["id"], rating="good")
    assert told.status_code == 200, told.text
