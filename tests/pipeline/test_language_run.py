"""A language model through the whole pipeline, as a user runs it: checked, tuned, compared, promoted, asked, merged."""

from __future__ import annotations

import json
from itertools import product

import pytest
from projects import tunewright

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
