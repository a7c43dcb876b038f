"""Several adapters in one worker: each answers as its own model, mixed, after a kill, and when its alias moves."""

from __future__ import annotations

import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import requests
from adapter_project import make_project
from swapping import serves, until

from language_subjects import ROWS

NAMES = {"support": "support", "refunds": "refunds@champion", "orders": "orders/1"}
"""What is registered, and what it is called in requests."""
WORDS = (
    "--adapter",
    "refunds@champion",
    "--adapter",
    "orders/1",
    "serving.drain_notice_s=0.1",
    "serving.watch_s=0.3",
)


@pytest.fixture(scope="module")
def project(shared, tmp_path_factory):
    folder = shared / "models" / "tinystories-656k-fixed-tokenizer"
    return make_project(tmp_path_factory.mktemp("shared") / "project", folder)


@pytest.fixture(scope="module")
def models(project):
    """The three adapters as they were trained."""
    return {name: project.log_adapter(name, seed=seed) for seed, name in enumerate(NAMES, start=5)}


@pytest.fixture(scope="module")
def server(start, project, models):
    return start("support@champion", *WORDS, cwd=project.root)


def own(model, row, tokens):
    """What a model writes behind a row: its text, and the log-probability of each token."""
    prompt = list(model.prompt(row).ids)
    ids = model.write_ids([prompt], max_new_tokens=tokens, batch_size=1)[0]
    mask = [False] * len(prompt) + [True] * len(ids)
    return model.text(ids), model.log_likelihoods([[*prompt, *ids]], [mask], 1)[0]


def ask(server, name, row, tokens, **given):
    body = {
        "model": name,
        "messages": [{"role": "user", "content": row.messages[0].content}],
        "max_tokens": tokens,
    }
    return requests.post(
        f"{server.url}/v1/chat/completions",
        json={**body, **given},
        timeout=120,
        stream=bool(given.get("stream")),
    )


def said(answer):
    assert answer.status_code == 200, answer.text
    choice = answer.json()["choices"][0]
    return choice["message"]["content"], [each["logprob"] for each in choice["logprobs"]["content"]]


def same(found, wanted):
    return found[0] == wanted[0] and all(
        math.isclose(one, other, abs_tol=2e-3) for one, other in zip(found[1], wanted[1], strict=False)
    )


def workers(server):
    found = psutil.Process(server.process.pid).children()
    return [each for each in found if "tunewright.serving.worker" in each.cmdline()]


def test_each_answers_as_its_own_model_alone_and_mixed(server, models):
    asked = [(name, row) for row in ROWS for name in NAMES]
    wanted = [own(models[name], row, 40) for name, row in asked]
    assert len({text for text, _ in wanted[:3]}) == 3, "they answer differently"

    def answer(pair):
        return said(ask(server, NAMES[pair[0]], pair[1], 40, logprobs=True))

    alone = [answer(pair) for pair in asked[:3]]
    with ThreadPoolExecutor(12) as pool:
        mixed = list(pool.map(answer, asked * 2))
    for found, other in zip([*alone, *mixed], [*wanted[:3], *wanted * 2], strict=True):
        assert same(found, other)


def test_they_are_told_apart_and_share_one_worker(server):
    cards = server.get("/v1/models").json()["data"]
    assert [each["id"] for each in cards] == list(NAMES.values())
    assert len({each["digest"] for each in cards}) == 3
    assert {each["engine"] for each in cards} == {"transformers:fp32"}
    before = server.figures()
    for name in NAMES:
        answer = ask(server, name, ROWS[0], 3)
        assert (answer.headers["x-model"], answer.headers["x-model-version"]) == (name, "1")
    after = server.figures()
    for called in NAMES.values():
        key = f'tunewright_written_tokens_total{{model="{called}"}}'
        assert after[key] - before.get(key, 0) == 3
    assert len(workers(server)) == 1
    assert ask(server, "refund", ROWS[0], 3).status_code == 404


def test_a_killed_worker_costs_no_token_and_mixes_none(server, models):
    restarts = server.figures()['tunewright_worker_restarts{model="support"}']
    asked = [(name, row) for row in ROWS[:2] for name in NAMES]
    streams = [ask(server, NAMES[name], row, 120, stream=True) for name, row in asked]
    kills = [2, 5]

    def read(at):
        text = ""
        for number, line in enumerate(
            line for line in streams[at].iter_lines() if line.startswith(b"data: {")
        ):
            choices = json.loads(line[6:])["choices"]
            text += choices[0]["delta"].get("content") or "" if choices else ""
            if number == 10 and at in kills:
                server.worker.kill()
        return text

    with ThreadPoolExecutor(len(asked)) as pool:
        texts = list(pool.map(read, range(len(asked))))
    assert texts == [own(models[name], row, 120)[0] for name, row in asked]
    assert server.figures()['tunewright_worker_restarts{model="support"}'] > restarts
    assert len(workers(server)) == 1


def test_a_new_version_goes_into_the_same_worker(server, project, models):
    pid = server.worker.pid
    old = own(models["support"], ROWS[0], 20)[0]
    newer = project.log_adapter("support", seed=11)
    until(lambda: serves(server, 2), seconds=120)
    assert server.worker.pid == pid, "it was brought there"
    assert len(workers(server)) == 1
    wanted = own(newer, ROWS[0], 20)
    assert wanted[0] != old
    assert same(said(ask(server, "support", ROWS[0], 20, logprobs=True)), wanted)
    beside = said(ask(server, "orders", ROWS[0], 20, logprobs=True))
    assert same(beside, own(models["orders"], ROWS[0], 20))
    server.worker.kill()
    assert same(said(ask(server, "support", ROWS[0], 20, logprobs=True)), wanted), (
        "the next worker has it, too"
    )
    assert server.end() == 0


def test_wrong_weights_under_the_right_name_are_caught_by_the_certificate(project, models, cli):
    from tunewright.engines.copies import read_manifest, seal

    cache = project.tracking.state / "cache" / "engines"
    copies = {read_manifest(each).model_digest: each for each in cache.glob("*-adapter-*") if each.is_dir()}
    right, wrong = (copies[models[name].digest()] for name in ("orders", "refunds"))
    kept = right / "adapter_model.safetensors"
    before = kept.read_bytes()
    shutil.copyfile(wrong / kept.name, kept)
    seal(right, read_manifest(right))
    told = cli("serve", "refunds", "--adapter", "orders", "--port", "0", cwd=project.root)
    kept.write_bytes(before)
    seal(right, read_manifest(right))
    assert told.code == 1
    assert "orders/1" in told.complaint
    assert "of the certified tokens, wanted are 100%" in told.complaint
