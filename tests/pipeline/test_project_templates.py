"""The projects that `tunewright init --template` makes run as they come, here with few rows and tiny models."""

from __future__ import annotations

import json

import pytest
from projects import tunewright

TINY = (
    "model.new.hidden_size=32", "model.new.layers=2", "model.new.heads=4", "model.new.vocabulary=600",
    "data.max_rows=120", "training.epochs=1", "training.threads=1", "evaluation.generation.rows=6",
    "evaluation.generation.max_new_tokens=8", "evaluation.gate.min_rows=2", "registry.probes=4",
)  # fmt: skip


def made(folder, name):
    """Make a project of the template of its name."""
    done = tunewright(folder, "init", name, "--template", name)
    assert done.returncode == 0, done.stderr
    return folder / name


def run(project, *words):
    """Run it small; return its facts."""
    done = tunewright(project, "run", "--json", *TINY, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def side(tmp_path_factory):
    """A folder with a project that made a base, and the base written beside the others."""
    folder = tmp_path_factory.mktemp("templates")
    made(folder, "pretrain").rename(folder / "base")
    facts = run(folder / "base")
    assert facts["metrics"]["perplexity"] < facts["baselines"]["base"]["perplexity"]
    exported = tunewright(folder / "base", "models", "export", "pretrain/2", "--to", "model")
    assert exported.returncode == 0, exported.stderr
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("template", ["extract", "preference"])
def test_a_template_goes_on_from_the_base_beside_it(side, template):
    project = made(side, template)
    facts = run(project)
    assert set(facts["metrics"]) >= {"perplexity", "exact_match"}
    assert ("preferred" in facts["metrics"]) is (template == "preference")
    assert facts["steps"]["train"] == "ran"
    asked = tunewright(
        project, "ask", "--model", f"{template}/2", "--max-new-tokens", "4", "Where is 4471-A?"
    )
    assert asked.returncode == 0, asked.stderr
