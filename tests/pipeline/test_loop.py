"""The whole loop on real data: new intents arrive, are sampled, labelled, learned, and can be rolled back."""

from __future__ import annotations

import csv
import json

import pytest
from sessions import done

pytestmark = pytest.mark.slow

OLD = (
    "transfer",
    "balance",
    "freeze_account",
    "pay_bill",
    "pin_change",
    "transactions",
    "routing",
    "bill_due",
)
NEW = ("plug_type", "translate", "book_hotel", "travel_alert")
OLD_ROWS, NEW_ROWS, LABELS = 66, 50, 100
SETTINGS = """
  validation_share: 0.15
training:
  epochs: 4
registry:
  probes: 8
evaluation:
  bootstrap_samples: 200
  latency_samples: 10
"""


@pytest.fixture(scope="module")
def intents(shared):
    """Texts by intent."""
    found = {}
    with (shared / "data" / "clinc150" / "data_full.json").open() as stream:
        for text, intent in json.load(stream)["train"]:
            found.setdefault(intent, []).append(text)
    return found


def split_of(folder, name):
    from tunewright import Project

    return set(Project.open(folder).dataset().examples(name).texts)


def test_new_intents_are_learned_without_forgetting_the_old_ones(tmp_path, intents):
    folder = tmp_path / "bank"
    with (tmp_path / "old.csv").open("w", newline="") as stream:
        rows = [[text, intent] for intent in OLD for text in intents[intent][:OLD_ROWS]]
        csv.writer(stream).writerows([["text", "label"], *rows])
    truth = {text: intent for intent in NEW for text in intents[intent][:NEW_ROWS]}
    with (tmp_path / "incoming.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["text"], *([text] for text in truth)])
    done(tmp_path, "init", "bank", "--source", "old.csv")
    config = folder / "configs" / "config.yaml"
    config.write_text(config.read_text().rstrip("\n") + SETTINGS)

    first = done(folder, "run", "--json").facts
    assert first["promoted"], first
    tested = split_of(folder, "test")

    answers = done(folder, "infer", str(tmp_path / "incoming.csv"), "--json").facts
    assert answers["rows"] == len(truth)
    assert set(answers["labels"]) <= set(OLD), "the champion can only answer with what it knows"
    chosen = done(folder, "sample", "--rows", str(LABELS), "--json").facts
    handed = tmp_path / "to-label.jsonl"
    done(folder, "labels", "export", chosen["folder"], str(handed))
    rows = [json.loads(line) for line in handed.read_text().splitlines()]
    assert len(rows) == LABELS
    labelled = tmp_path / "labelled.jsonl"
    labelled.write_text("".join(json.dumps({**row, "label": truth[row["text"]]}) + "\n" for row in rows))
    done(
        folder,
        "labels",
        "import",
        str(labelled),
        "--selection",
        chosen["folder"],
        "--new-labels",
        "--name",
        "travel",
    )

    second = done(folder, "run", "--json").facts
    verdict = json.loads((folder / "reports" / "verdict.json").read_text())
    assert second["promoted"], verdict["summary"]
    assert second["version"] != first["version"]
    assert tested <= split_of(folder, "test"), "frozen rows stay"
    assert not tested & (split_of(folder, "train") | split_of(folder, "validation"))
    old, new = verdict["by_source"]
    assert (old["name"], new["name"]) == ("the first data", "labelled/travel")
    assert new["champion"] == 0
    assert new["challenger"] > 0.8
    bound = done(folder, "config", "show", "--json").facts["evaluation"]["gate"]["max_slice_loss"]
    assert old["challenger"] >= old["champion"] - bound
    assert old["rows"] == len(tested)

    name = second["model"]
    assert done(folder, "models", "show", f"{name}@champion", "--json").facts["version"] == second["version"]
    done(folder, "models", "rollback")
    assert done(folder, "models", "show", f"{name}@champion", "--json").facts["version"] == first["version"]
    steps = {each["step"] for each in done(folder, "data", "log", "--all", "--json").facts}
    assert {"split", "infer", "sample", "label"} <= steps
