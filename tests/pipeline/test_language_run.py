"""A language model through the whole pipeline, as a user runs it: checked, tuned, compared, promoted, asked, merged."""

from __future__ import annotations

import json
import subprocess
from itertools import product

import pytest
from projects import tunewright

from running import start

SAYS = {
    "cat": "meow", "dog": "woof", "cow": "moo", "duck": "quack", "pig": "oink", "sheep": "baa", "bee": "buzz",
    "owl": "hoot", "lion": "roar", "frog": "ribbit",
}  # fmt: skip
ASKED = (
    "What does the {} say?", "What sound does a {} make?", "Tell me how the {} sounds.", "The big {} says what?",
    "My {} makes a sound. Which?", "How does one {} speak?", "Hello. I have a {}. What does it say?",
    "I saw a {} in the park. What did it say?", "Do you know the word of the {}?", "If I were a {}, what would I say?",
    "Which noise comes from a {}?", "One day a little {} said something. What?",
)  # fmt: skip
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}A:{% generation %} {{ m.content }}"
    "{{ eos_token }}{% endgeneration %}\n{% else %}{{ m.content }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}A:{% endif %}"
)
CONFIG = """defaults:
  - data: chat
  - model: smollm2-135m
  - training: sft
  - evaluation: default
  - registry: local
  - orchestration: default
  - serving: default
  - monitoring: default
  - _self_

project: animals
data:
  source: data/raw/animals.jsonl
  split_by: text
  validation:
    near_duplicate_threshold: 0.99
model:
  name: {base}
  template: chat.jinja
training:
  epochs: 4
  learning_rate: 1e-2
  precision: fp32
evaluation:
  generation:
    max_new_tokens: 8
    primary_metric: perplexity
  gate:
    min_rows: 10
registry:
  probes: 6
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory, shared):
    """A project that has run once."""
    folder = tmp_path_factory.mktemp("language") / "animals"
    done = tunewright(folder.parent, "init", "animals")
    assert done.returncode == 0, done.stderr
    (folder / "configs/config.yaml").write_text(
        CONFIG.format(base=shared / "models" / "stories260K-hf"), encoding="utf-8"
    )
    (folder / "chat.jinja").write_text(TEMPLATE)
    turns = [
        [{"role": "user", "content": asked.format(name)}, {"role": "assistant", "content": says}]
        for asked, (name, says) in product(ASKED, SAYS.items())
    ]
    rows = "\n".join(json.dumps({"messages": each}) for each in turns)
    (folder / "data/raw/animals.jsonl").write_text(rows)
    done = tunewright(folder, "run", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "first.json").write_text(done.stdout.splitlines()[-1])
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tuned_model_answers_and_becomes_the_champion(project):
    facts = json.loads((project / "first.json").read_text())
    assert facts["promoted"] is True
    tuned, base = facts["metrics"], facts["baselines"]["base"]
    assert tuned["perplexity"] < base["perplexity"] / 10
    assert tuned["chrf"] > base["chrf"]
    check = json.loads((project / "reports/check.json").read_text())
    assert check["tokens"]["supervised"] > 0
    assert 'class="loss"' in (project / "reports/loss.html").read_text()
    page = (project / "reports/evaluation/report.html").read_text()
    assert "meow" in page or "woof" in page
    trained = json.loads((project / "models/candidate.json").read_text())
    assert trained["figures"]["forecast"]["memory_ratio"] > 0


@pytest.mark.slow
def test_nothing_changed_means_nothing_runs(project):
    done = tunewright(project, "run", "--json")
    assert set(json.loads(done.stdout.splitlines()[-1])["steps"].values()) == {"skipped"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_champion_adapter_and_merged_form_answer_alike(project, tmp_path):
    question = "What does the cow say?"
    for words in (
        ("models", "export", "--to", str(tmp_path / "adapter")),
        ("models", "merge", "--to", str(tmp_path / "merged")),
    ):
        done = tunewright(project, *words)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "adapter/adapter_model.safetensors").is_file()
    assert not (tmp_path / "adapter/model.safetensors").exists()
    assert "base_model:" in (tmp_path / "merged/README.md").read_text()
    said = {
        tunewright(project, "ask", question, "--max-new-tokens", "8", *model).stdout
        for model in ((), ("--model", str(tmp_path / "adapter")), ("--model", str(tmp_path / "merged")))
    }
    assert len(said) == 1
    assert said.pop().strip()
    again = tunewright(project, "models", "merge", "--to", str(tmp_path / "merged"))
    assert again.returncode == 2
    assert "exists already" in again.stderr

    rows = project / "data/raw/animals.jsonl"
    words = ("evaluate", str(tmp_path / "merged"), str(rows), "evaluation.generation.rows=20")
    more = (
        "--against",
        "animals/1",
        "--out",
        str(tmp_path / "report"),
        "evaluation.generation.max_new_tokens=8",
    )
    done = tunewright(project, *words, *more)
    assert done.returncode == 0, done.stderr
    assert "exact_match" in done.stdout
    assert (tmp_path / "report/report.html").is_file()


@pytest.mark.slow
def test_a_classifier_command_on_a_language_model_says_what_to_use(project):
    done = tunewright(project, "predict", "What does the cow say?")
    assert done.returncode == 2
    assert "tunewright ask" in done.stderr
    listed = tunewright(project, "models", "list").stdout
    assert "exact" in listed  # its heading is "exact match", in two lines where there is little room
    assert "accuracy" not in listed


@pytest.fixture(scope="module")
def chosen(project):
    """What `optimize` said of the champion."""
    words = ("--engine", "ctranslate2:int8", "--engine", "onnx:int8", "--threads", "1", "--json")
    done = tunewright(project, "optimize", *words, "--max-accuracy-loss", "0.5")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_its_engine_is_chosen_by_what_it_answers_and_how_fast(project, chosen):
    report = chosen
    tried = {f"{one['form']['engine']}:{one['form']['precision']}": one for one in report["tried"]}

    assert (report["unit"], report["metric"]) == ("tokens", "token_f1")
    assert "multiple of 16" in tried["onnx:int8"]["refusals"][0]
    reference = tried["transformers:fp32"]
    assert reference["refusals"] == []
    assert reference["kept"] == 1.0
    assert [each["batch"] for each in reference["measured"]["timings"]] == [1, 8, 32]
    shown = tunewright(project, "models", "show", "--json")
    assert (
        json.loads(shown.stdout)["engine"] == f"{report['chosen']['engine']}:{report['chosen']['precision']}"
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_champion_is_served_to_curl_openai_and_mlflow(project, chosen):
    import pandas as pd
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    from openai import OpenAI

    question = ASKED[0].format("cow")
    wanted = written_by_its_copy(project, question, 8)
    messages = [{"role": "user", "content": question}]
    server = start("", cwd=project)
    try:
        curl = ["curl", "-sf", f"{server.url}/v1/chat/completions", "-H", "content-type: application/json"]
        body = {"messages": messages, "max_tokens": 8}
        said = json.loads(subprocess.check_output([*curl, "-d", json.dumps(body)]))
        assert said["choices"][0]["message"]["content"] == wanted
        client = OpenAI(base_url=f"{server.url}/v1", api_key="none")
        stream = client.chat.completions.create(
            model="animals@champion", messages=messages, max_tokens=8, stream=True
        )
        assert "".join(each.choices[0].delta.content or "" for each in stream) == wanted
        scored = ScoringServerClient("127.0.0.1", int(server.url.rpartition(":")[2])).invoke(
            pd.DataFrame({"messages": [messages]})
        )
        whole = scored["predictions"][0]["choices"][0]["message"]["content"]
        assert whole == written_by_its_copy(project, question, 256)
        (card,) = client.models.list().data
    finally:
        assert server.end() == 0
    traced = json.loads(tunewright(project, "trace", said["id"], "--json").stdout)
    assert traced["answer"]["is_registered"] is True
    assert traced["answer"]["model"] == f"animals/{card.version}"
    assert card.engine == f"{chosen['chosen']['engine']}:{chosen['chosen']['precision']}"


def written_by_its_copy(project, question: str, tokens: int) -> str:
    """What the copy that was chosen for the champion answers when nothing stands before it."""
    from tunewright.data.chat.rows import ChatRow, Message
    from tunewright.engines.copies import open_language_model
    from tunewright.engines.interface import Sampling
    from tunewright.engines.registering import attached
    from tunewright.pipeline.project import Project
    from tunewright.registry.tracking import connect

    opened = Project.open(project)
    _, copy = attached(connect(opened.last_recipe(), opened.paths))
    model = open_language_model(copy, threads=1, slots=1)
    row = ChatRow(kind="conversation", messages=(Message(role="user", content=question),))
    (answer,) = model.answer([model.prompt(row).ids], Sampling(max_new_tokens=tokens, logprobs=-1))
    model.close()
    ids = answer.ids[:-1] if answer.finish == "stop" else answer.ids
    return model.side.text(ids).strip()
