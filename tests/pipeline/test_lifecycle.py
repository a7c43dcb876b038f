"""A model's life through the command line: made, promoted, adapted, compared, rolled back, deleted, purged, traced."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from projects import made
from sessions import call, done

from tunewright.pipeline.steps import STEPS
from tunewright.support.files import size_of

pytestmark = pytest.mark.slow

ROWS_A_LABEL = 120
WORDS_A_TEXT = 8
WORDS_A_LABEL = 40
SETTINGS = {
    "learning_rate: 3e-3": "learning_rate: 5e-3\n  batch_size: 8\n  logging_steps: 5",
    "validation_share: 0.15": "validation_share: 0.15\n  test_share: 0.4",
    "latency_samples: 10": "latency_samples: 10\n  gate:\n    min_rows: 30",
}
ADAPTER = ("training=lora", "training.learning_rate=1e-2", "training.epochs=1")
OTHER_SEED = ("seed=7",)
"""Gives other splits, another base head and another order of rows."""
SHOWN = {"version", "aliases", "run_id", "commit", "dirty", "data_digest", "certificate", "metrics"}
PLAIN_MLFLOW = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tunewright":
            raise ImportError("tunewright must not be needed")

sys.meta_path.insert(0, Refuse())
import mlflow
mlflow.set_tracking_uri("sqlite:///.tunewright/mlflow.db")
answer = mlflow.pyfunc.load_model("models:/shop/3").predict(sys.argv[1:], params={"probabilities": True})
print(answer.to_json(orient="records"))
"""


def two_vocabularies(messages: str) -> str:
    """Make rows whose label shows in every word, so that the tiniest model learns them."""
    drawn = random.Random(0)
    words = sorted(set(re.findall(r"[a-z]{4,8}", messages.lower())))
    drawn.shuffle(words)
    sides = {"left": words[:WORDS_A_LABEL], "right": words[WORDS_A_LABEL : 2 * WORDS_A_LABEL]}
    rows = [
        f"{' '.join(drawn.sample(sides[label], WORDS_A_TEXT))},{label}"
        for _ in range(ROWS_A_LABEL)
        for label in sides
    ]
    return "\n".join(["text,label", *rows]) + "\n"


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    said = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return said.stdout.strip()


@dataclass(frozen=True)
class Life:
    """A project in which the whole pipeline ran three times."""

    folder: Path
    commit: str
    full: dict[str, Any]
    """What the first run said: all weights, on a clean checkout."""
    adapter: dict[str, Any]
    """The second: LoRA, after the configuration was touched."""
    again: dict[str, Any]
    """The third: another seed, the same data and settings."""
    verdicts: tuple[dict[str, Any], ...]
    """What the gate wrote down after each."""
    texts: tuple[str, ...]


@pytest.fixture(scope="module")
def life(tmp_path_factory, tiny_base, messages) -> Life:
    folder = made(tmp_path_factory.mktemp("life") / "shop", tiny_base, messages, epochs=4)
    rows = two_vocabularies(messages)
    (folder.parent / "messages.csv").write_text(rows)
    config = folder / "configs" / "config.yaml"
    for found, wanted in SETTINGS.items():
        assert found in config.read_text()
        config.write_text(config.read_text().replace(found, wanted))
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "begin")

    def run(*words: str) -> tuple[dict[str, Any], dict[str, Any]]:
        facts = done(folder, "run", "--json", *words).facts
        return facts, json.loads((folder / "reports" / "verdict.json").read_text())

    first = run()
    config.write_text(config.read_text() + "# a thought\n")
    second = run(*ADAPTER)
    third = run(*OTHER_SEED)
    runs = (first, second, third)
    return Life(
        folder,
        git(folder, "rev-parse", "HEAD"),
        *(facts for facts, _ in runs),
        verdicts=tuple(verdict for _, verdict in runs),
        texts=tuple(line.split(",")[0] for line in rows.splitlines()[1:7]),
    )


@pytest.fixture(scope="module")
def client(life):
    import mlflow

    opened = mlflow.MlflowClient(f"sqlite:///{life.folder / '.tunewright' / 'mlflow.db'}")
    (experiment,) = opened.search_experiments(filter_string="name = 'shop'")
    return SimpleNamespace(mlflow=opened, experiment=experiment.experiment_id)


def shown(life: Life, reference: str) -> dict[str, Any]:
    return done(life.folder, "models", "show", reference, "--json").facts


def artifacts(life: Life) -> int:
    return size_of(life.folder / ".tunewright" / "artifacts")


def test_the_first_model_that_beats_the_trivial_one_is_promoted(life):
    assert (life.full["version"], life.full["promoted"]) == (2, True)
    assert life.full["metrics"]["accuracy"] > life.full["baselines"]["majority"]["accuracy"]
    assert life.verdicts[0]["decision"] == "promote"
    assert life.verdicts[0]["incumbent_version"] is None


def test_every_later_verdict_is_written_with_its_reasons(life, client):
    for verdict, facts in zip(life.verdicts[1:], (life.adapter, life.again), strict=True):
        assert verdict["decision"] in {"promote", "keep", "cannot_tell"}
        assert verdict["reasons"]
        assert verdict["version"] == facts["version"]
        assert verdict["promoted"] == facts["promoted"] == (verdict["decision"] == "promote")
        assert verdict["incumbent_version"] == 2
        run_id = shown(life, f"shop/{facts['version']}")["run_id"]
        assert "verdict.json" in {item.path for item in client.mlflow.list_artifacts(run_id)}


def test_rows_that_the_champion_learned_from_do_not_judge_it(life):
    second, third = life.verdicts[1:]
    assert third["rows"] < second["rows"]
    assert third["notes"]


def test_list_names_all_versions_newest_first(life):
    listed = done(life.folder, "models", "list", "--json").facts
    assert [each["version"] for each in listed] == [5, 4, 3, 2, 1]
    assert [each["role"] for each in listed] == ["tuned", "base", "tuned", "tuned", "base"]
    assert [each["kind"] for each in listed] == ["full", "full", "lora", "full", "full"]
    assert all(set(each) >= SHOWN for each in listed)
    plain = done(life.folder, "models", "list").out
    assert "shop/2" in plain
    assert "champion" in plain


def is_before(life, commit: str) -> bool:
    """Tell whether a commit stands in the history of the last one."""
    return commit in git(life.folder, "rev-list", life.commit).splitlines()


def test_show_knows_commit_and_whether_the_checkout_was_dirty(life):
    facts = shown(life, "shop/2")
    assert set(facts) >= SHOWN
    assert (is_before(life, facts["commit"]), facts["dirty"]) == (True, False)
    assert facts["metrics"]["accuracy"] == life.full["metrics"]["accuracy"]
    later = shown(life, "shop/3")
    assert (is_before(life, later["commit"]), later["dirty"]) == (True, True)
    assert later["commit"] != facts["commit"], "the first run committed its pointers"
    assert later["data_digest"] == facts["data_digest"]


@pytest.mark.parametrize("reference", ["shop@champion", "@champion", "shop", "models:/shop@champion"])
def test_the_champion_has_many_names(life, reference):
    assert shown(life, reference)["version"] == 2


def test_an_adapter_is_small_and_stands_on_the_base_that_is_stored_once(life):
    base, adapter = shown(life, "shop/1"), shown(life, "shop/3")
    assert adapter["base_uri"] == base["uri"]
    assert adapter["base_digest"] == base["digest"]
    assert adapter["size_bytes"] < base["size_bytes"] / 2
    stored = list((life.folder / ".tunewright" / "artifacts").rglob("model.safetensors"))
    assert len(stored) == 4  # a base and a full model for each of two seeds; none for the adapter


def test_plain_mlflow_opens_the_adapter_without_tunewright(life):
    command = [sys.executable, "-c", PLAIN_MLFLOW, *life.texts]
    said = subprocess.run(command, cwd=life.folder, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    answers = json.loads(said.stdout.splitlines()[-1])
    ours = done(life.folder, "predict", *life.texts, "--model", "shop/3", "--json").out.splitlines()
    for answer, line in zip(answers, ours, strict=True):
        mine = json.loads(line)
        assert answer["label"] == mine["label"]
        assert answer["probability"] == pytest.approx(mine["probabilities"][mine["label"]], abs=1e-4)


def test_compare_shows_statistics_and_rows(life):
    facts = done(life.folder, "models", "compare", "shop/4", "shop/5", "--json").facts
    assert set(facts) == {"a", "b", "metrics", "comparison", "disagreements"}
    rows = sum(
        facts["comparison"][name] for name in ("both_right", "both_wrong", "only_a_right", "only_b_right")
    )
    assert rows == facts["comparison"]["rows"]
    assert facts["metrics"]["shop/5"]["accuracy"] == pytest.approx(life.again["metrics"]["accuracy"])
    plain = done(life.folder, "models", "compare", "shop/4", "shop/5", "--examples", "2").out
    assert "McNemar" in plain
    assert "accuracy difference" in plain


def test_predict_takes_arguments_lines_and_other_versions(life):
    one = done(life.folder, "predict", life.texts[0], "--json").facts
    assert one["label"] in one["probabilities"]
    assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    lines = done(life.folder, "predict", "-", "--json", stdin="\n".join(life.texts) + "\n").out.splitlines()
    assert [json.loads(line)["text"] for line in lines] == list(life.texts)
    assert json.loads(lines[0])["probabilities"] == pytest.approx(one["probabilities"], abs=1e-5)
    base = done(life.folder, "predict", life.texts[0], "--model", "shop/1", "--json").facts
    assert base["probabilities"] != one["probabilities"]
    assert life.texts[0] in done(life.folder, "predict", life.texts[0]).out


def test_trace_leads_from_a_version_to_all_that_made_it(life):
    facts = done(life.folder, "models", "trace", "shop/3", "--json").facts
    assert facts["run"]["step"] == "train"
    assert (is_before(life, facts["commit"]), facts["dirty"]) == (True, True)
    assert "# a thought" in facts["diff"]
    assert facts["config"]["training"]["method"] == "lora"
    assert facts["data"]["digest"] == shown(life, "shop/3")["data_digest"]
    assert {each["context"] for each in facts["data"]["inputs"]} == {"training", "validation", "test"}
    assert facts["environment"]["packages"]["torch"]
    assert facts["base"]["base_uri"] == shown(life, "shop/1")["uri"]
    assert facts["rows"]["train"] > 0
    assert [entry["action"] for entry in facts["ledger"]] == ["register"]


def test_mlflow_holds_a_run_a_step_with_curves_inputs_and_settings(life, client):
    runs = client.mlflow.search_runs([client.experiment])
    parents = {
        run.info.run_id: run.info.run_name for run in runs if "mlflow.parentRunId" not in run.data.tags
    }
    assert sorted(parents.values()) == sorted(step.name for step in STEPS)
    children = [run for run in runs if run.info.run_id not in parents]
    assert all(run.info.status == "FINISHED" for run in runs)
    train = [run for run in children if parents[run.data.tags["mlflow.parentRunId"]] == "train"]
    assert len(train) == 3
    run = client.mlflow.get_run(shown(life, "shop/2")["run_id"])
    assert run.info.run_id in {each.info.run_id for each in train}
    assert run.data.params["training.learning_rate"] == "0.005"
    assert {each.dataset.name for each in run.inputs.dataset_inputs}
    assert len(run.inputs.dataset_inputs) == 3
    losses = [point.step for point in client.mlflow.get_metric_history(run.info.run_id, "train/loss")]
    assert losses == sorted(set(losses))
    assert {5, 10, 15, 20} <= set(losses)
    for name in ("accuracy", "f1_macro", "f1/left", "f1/right"):
        points = client.mlflow.get_metric_history(run.info.run_id, f"validation/{name}")
        assert len(points) == 4, name
        assert len({point.step for point in points}) == 4


def test_dvc_itself_runs_what_is_missing_and_nothing_else(life):
    """DVC calls ``tunewright step``; what it recorded is what ``tunewright run`` looks at."""
    tools = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}

    def repro() -> str:
        command = [tools / "dvc", "repro"]
        said = subprocess.run(
            command, cwd=life.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert said.returncode == 0, said.stderr
        return said.stdout + said.stderr

    assert "Running stage" not in repro()
    (life.folder / "reports" / "verdict.json").unlink()
    said = repro()
    assert re.findall(r"Running stage '(\w+)'", said) == ["promote"]
    assert (life.folder / "reports" / "verdict.json").is_file()
    states = done(life.folder, "run", "--json", *OTHER_SEED).facts["steps"]
    assert set(states.values()) == {"skipped"}


def test_promote_and_roll_back_move_the_champion(life):
    done(life.folder, "models", "promote", "shop/5", "--reason", "trial")
    assert shown(life, "@champion")["version"] == 5
    done(life.folder, "models", "rollback")
    assert shown(life, "@champion")["version"] == 2
    ledger = [
        json.loads(line) for line in (life.folder / "reports" / "ledger.jsonl").read_text().splitlines()
    ]
    moves = [(entry["action"], entry["from"], entry["to"]) for entry in ledger if entry["phase"] == "intent"]
    assert moves[-2:] == [("promote", 2, 5), ("rollback", 5, 2)]


def test_what_others_need_is_not_deleted(life):
    said = call(life.folder, "models", "delete", "shop@champion", "--force")
    assert said.code == 2
    assert "champion" in said.complaint
    said = call(life.folder, "models", "delete", "shop/1", "--force")
    assert said.code == 2
    assert "shop/3" in said.complaint
    assert [each["version"] for each in done(life.folder, "models", "list", "--json").facts] == [
        5,
        4,
        3,
        2,
        1,
    ]


def test_purge_frees_what_it_says(life):
    """Comes last: it takes a version away."""
    assert done(life.folder, "models", "purge", "--json").facts["freed_bytes"] == 0
    done(life.folder, "models", "delete", "shop/3")
    before = artifacts(life)
    planned = done(life.folder, "models", "purge", "--dry-run", "--json").facts
    assert artifacts(life) == before
    swept = done(life.folder, "models", "purge", "--json").facts
    assert swept == planned
    assert swept["freed_bytes"] == before - artifacts(life) > 0
    said = call(life.folder, "predict", "a text", "--model", "shop/3")
    assert said.code == 2
    assert done(life.folder, "predict", life.texts[0], "--json").facts["label"]
