"""Real files, sound and damaged, from source to frozen splits: the counts are those of the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SHOWN = {"rows", "unique", "labels", "quarantined", "splits", "digest"}
SMS = "sms_spam/SMSSpamCollection"
UNIQUE = 5171
"""Distinct texts among the 5,574 messages: 403 repeat an earlier one."""


@pytest.fixture
def split(tmp_path, cli, shared):
    """Run a new project until its splits are frozen; give what ``data show`` says."""

    def frozen(name: str, *overrides: str) -> dict:
        from tunewright.pipeline.project import Project

        project = tmp_path / "shop"
        if not project.exists():
            assert cli("init", "shop", cwd=tmp_path).code == 0
        Project.open(project).run_until("split", [f"data.source={shared / 'data' / name}", *overrides])
        shown = cli("data", "show", "--json", cwd=project)
        assert shown.code == 0, shown.err
        facts = json.loads(shown.out)
        assert set(facts) >= SHOWN
        _holds_together(facts, project)
        return facts

    return frozen


def _holds_together(facts: dict, project: Path) -> None:
    """Nothing is lost between source and splits, and the proof of no leak is in the manifest."""
    aside = sum(facts["quarantined"].values())
    assert sum(facts["splits"].values()) + aside == facts["rows"] == sum(facts["labels"].values())
    asked = {"text": ["normalised_text"], "near_duplicate": ["normalised_text", "near_duplicate"]}
    assert [facts["leaks"][kind] for kind in asked[facts["split_by"]]] == [0] * len(asked[facts["split_by"]])
    lines = (project / "data" / "quarantine.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == aside
    assert all({"row", "source", "reason"} <= set(json.loads(line)) for line in lines)


def test_the_sms_collection_whole_by_text_and_by_near_duplicate(split):
    first = split(SMS)
    assert first["rows"] == 5574
    assert first["labels"] == {"ham": 4827, "spam": 747}
    assert first["unique"] == UNIQUE
    assert sum(first["splits"].values()) == UNIQUE
    assert first["split_by"] == "near_duplicate"
    by_text = split(SMS, "data.split_by=text")
    assert by_text["leaks"]["near_duplicate"] > 0  # told, though not asked to keep them together
    assert sum(by_text["splits"].values()) == UNIQUE
    assert by_text["digest"] != first["digest"]
    assert split(SMS)["digest"] == first["digest"]


@pytest.mark.parametrize(
    ("name", "rows", "notes"),
    [
        ("siva_SMSSpamCollection", 5680, ("styled Unicode", "403 rows repeat")),
        ("kaggle_spam.csv", 5573, ("cp1252", "columns have no name", "garbled")),
        ("krishnaik_SMSSpamCollection_crlf", 5574, ("CRLF", "HTML entities")),
    ],
)
def test_damaged_copies_come_through_with_a_word_about_what_was_wrong(split, name, rows, notes):
    facts = split(f"sms_spam_dirty/{name}")
    assert facts["rows"] == rows
    said = " | ".join(facts["source"]["notes"])
    assert all(note in said for note in notes), said


def test_banking77_keeps_its_77_intents(split):
    facts = split("banking77/train.csv")
    assert facts["rows"] == 10003
    assert len(facts["labels"]) == len(facts["label_names"]) == 77


def test_one_field_of_a_json_file_with_many(split):
    facts = split("clinc150/data_full.json", "data.json_field=train")
    assert facts["rows"] == 15000
    assert len(facts["labels"]) == 150
