"""What stays together when the rows of language models are split, and what a data set's digest depends on."""

from __future__ import annotations

import hashlib

import pytest
from chat_steps import asked, through, varied, write_lines

from tunewright.config.data import DataConfig
from tunewright.data.cleaning import clean
from tunewright.data.dataset import SPLITS
from tunewright.data.ingest import ingest
from tunewright.data.splitting import split
from tunewright.data.validation import validate
from tunewright.support.errors import InputError

CLASSIFIERS = {
    "near_duplicate": "e046062e275a20305fdbce42e7fcae5059f1379219973df311c0b2c36f757c10",
    "conversation": "9e6d78b3894b13dd34cc80bd3b615b19fbc1e8c09374c6269d6d01369e75b956",
}
"""Digests of ``small_csv`` as they were before rows of language models were read, by what it is split by."""


def small_csv(path):
    """Write texts with labels, and a column that bears the name of ours."""
    rows = ["text,label,conversation"]
    for at in range(60):
        noise = hashlib.md5(str(at).encode(), usedforsecurity=False).hexdigest()
        about, label = ("refund", "money") if at % 2 else ("parcel", "post")
        rows.append(f"message number {at} about {about} {noise},{label},thread{at // 3}")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("split_by", CLASSIFIERS)
def test_data_sets_of_classifiers_are_what_they_always_were(split_by, tmp_path):
    config = DataConfig(source=str(small_csv(tmp_path / "small.csv")), split_by=split_by)
    ingest(config, base_dir=tmp_path, out=tmp_path / "rows")
    clean(tmp_path / "rows", config.cleaning, out=tmp_path / "clean")
    validate(tmp_path / "clean", config.validation, out=tmp_path / "valid", quarantine=tmp_path / "q")
    dataset = split(tmp_path / "valid", config, seed=42, out=tmp_path / "data")
    assert dataset.manifest.digest == CLASSIFIERS[split_by]
    assert "chat_format" not in (tmp_path / "data" / "manifest.json").read_text()
    assert "prompt" not in dataset.manifest.leaks
    assert not dataset.holds_conversations
    with pytest.raises(InputError, match="texts with labels"):
        dataset.conversations("train")


def test_answers_to_one_prompt_stay_on_one_side(tmp_path):
    rows = [
        asked(row["messages"][0]["content"], f"{other['messages'][1]['content']} {at}")
        for at, row in enumerate(varied(30))
        for other in varied(33)[-3:]
    ]
    done = through(write_lines(tmp_path / "chats.jsonl", rows), tmp_path)
    assert done.judged.quarantined == {}
    sides = [{row.messages[0].content for row in done.data.conversations(name)} for name in SPLITS]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 30
    assert done.data.manifest.leaks["prompt"] == 0


def test_prompts_on_both_sides_are_told_when_the_split_is_by_text(tmp_path):
    rows = [asked("Tell me a story.", row["messages"][1]["content"]) for row in varied(30)]
    source = write_lines(tmp_path / "stories.jsonl", rows)
    with pytest.raises(InputError, match="30 rows make 1 independent group") as refused:
        through(source, tmp_path)
    assert "data.split_by=text" in refused.value.mend
    assert through(source, tmp_path, split_by="text").data.manifest.leaks["prompt"] == 1


def test_kinds_with_fewer_rows_than_splits_fail_nothing(tmp_path):
    rows = [
        {"prompt": row["messages"][0]["content"], "completion": row["messages"][1]["content"]}
        for row in varied(40)
    ]
    turns = [[{"role": "user", "content": "How warm is it?"}], [{"role": "assistant", "content": "Mild."}]]
    rows.append(dict(zip(("prompt", "completion"), turns, strict=True)))
    done = through(write_lines(tmp_path / "mixed.jsonl", rows), tmp_path)
    assert done.judged.labels == {"completion": 40, "conversation": 1}
    assert min(done.data.manifest.splits.values()) > 0


def test_what_a_row_is_worth_makes_it_another_row(tmp_path):
    def rated(flipped):
        rows = [
            {
                "prompt": row["messages"][0]["content"],
                "completion": row["messages"][1]["content"],
                "label": True,
            }
            for row in varied(30)
        ]
        rows += [{**rows[0], "label": False}]
        rows[5] |= {"label": not flipped}
        folder = tmp_path / str(flipped)
        folder.mkdir()
        return through(write_lines(folder / "rated.jsonl", rows), folder)

    before, after = rated(flipped=False), rated(flipped=True)
    assert before.judged.quarantined == {}
    assert len(before.rows()) == 31, "the same answer, good and bad, is no copy"
    assert before.data.manifest.digest != after.data.manifest.digest
    texts = [list(each.data.frame("train")["text"]) for each in (before, after)]
    assert texts[0] == texts[1]
