"""Rows of language models through the data steps: nothing is lost, nothing leaks, everything set aside has a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chat_steps import UNCLEANED, asked, config_of, through, varied, write_lines

from tunewright.data.chat.ingesting import ingest_chat
from tunewright.data.chat.opening import open_chat
from tunewright.data.dataset import SPLITS
from tunewright.data.splitting import digest_of_rows
from tunewright.support.errors import InputError

FILES = {
    "chat_formats/alpaca_en_demo.json": ("alpaca", "conversation"),
    "chat_formats/identity.json": ("alpaca", "conversation"),
    "chat_formats/glaive_toolcall_en_demo.json": ("sharegpt", "conversation"),
    "chat_formats/dpo_en_demo.json": ("preference", "preference"),
    "chat_formats/kto_en_demo.json": ("kto", "rated"),
    "self_instruct/seed_tasks.jsonl": ("self-instruct", "conversation"),
    "self_instruct/user_oriented_instructions.jsonl": ("self-instruct", "conversation"),
}
SECRET = "AKIA" + "Z7QK3M5X2P9W4R8T"


@pytest.mark.parametrize("name", FILES)
def test_rows_of_a_real_file_come_back_as_they_were(name, shared, require, tmp_path):
    path = shared / "data" / name
    require(path.is_file(), f"no {path}")
    done = through(path, tmp_path, max_rows=30, cleaning=UNCLEANED)
    assert (done.read.facts.chat_format, done.data.label_names) == (FILES[name][0], (FILES[name][1],))
    config = config_of(path, max_rows=30)
    read = [row for taken in open_chat(config, base_dir=tmp_path).rows() for row in taken.rows]
    numbered = {
        at: row.model_copy(update={"row": at, "source": path.name}) for at, row in enumerate(read, start=1)
    }
    aside = {entry["row"] for entry in done.quarantine}
    assert done.rows() == [row for at, row in numbered.items() if at not in aside]
    assert done.data.manifest.leaks == {"normalised_text": 0, "near_duplicate": 0, "prompt": 0}
    assert digest_of_rows(done.data) == done.data.manifest.digest


def test_refused_rows_stand_in_quarantine_with_their_reasons(tmp_path):
    bad = [
        {"messages": [{"role": "user", "content": "hello?"}]},
        {"messages": [{"role": "wizard", "content": "x"}, {"role": "assistant", "content": "y"}]},
        {"messages": "none"},
    ]
    source = write_lines(tmp_path / "chats.jsonl", [*varied(40), *bad, varied(1)[0]])
    done = through(source, tmp_path)
    found = {entry["row"]: (entry["reason"], entry["detail"]) for entry in done.quarantine}
    assert {row: reason for row, (reason, _) in found.items()} == {
        41: "no_assistant",
        42: "unknown_role",
        43: "not_json",
        44: "exact_duplicate",
    }
    assert "wizard" in found[42][1]
    assert found[44][1] == "the same as row 1"
    manifest = done.data.manifest
    assert (manifest.rows, sum(manifest.splits.values())) == (44, 40)
    assert sum(manifest.quarantined.values()) == 4


def test_a_source_without_a_usable_row_is_one_clear_refusal(tmp_path):
    rows = [{"messages": [{"role": "user", "content": "hello?"}]}] * 5
    source = write_lines(tmp_path / "chats.jsonl", rows)
    with pytest.raises(InputError, match=r"none of its 5 rows can be used \(first: row 1: no_assistant"):
        ingest_chat(config_of(source), base_dir=tmp_path, out=tmp_path / "rows")
    assert not (tmp_path / "rows").exists()


def test_a_format_that_does_not_exist_names_the_key_and_the_nearest(tmp_path):
    source = write_lines(tmp_path / "chats.jsonl", varied(5))
    with pytest.raises(InputError, match="sharegpt") as refused:
        ingest_chat(config_of(source, chat_format="shargpt"), base_dir=tmp_path, out=tmp_path / "rows")
    assert refused.value.place == "data.chat_format"


def test_labelled_batches_are_refused(tmp_path):
    source = write_lines(tmp_path / "chats.jsonl", varied(5))
    with pytest.raises(InputError, match="1 labelled batch can't join"):
        ingest_chat(
            config_of(source), base_dir=tmp_path, out=tmp_path / "rows", additions=[Path("today.jsonl")]
        )


def test_each_turn_is_cleaned_and_arguments_of_tools_are_not(tmp_path):
    call = {"name": "look", "arguments": {"query": "a\u200b  b"}}
    turns = [
        {"role": "user", "content": "Look\u200b  it up.\n\tPlease"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": call}]},
        {"role": "tool", "content": "found\u200b"},
        {"role": "assistant", "content": "Here\u200b."},
    ]
    source = write_lines(tmp_path / "chats.jsonl", [{"messages": turns}, *varied(10)])
    row = through(source, tmp_path).rows()[0]
    assert [message.content for message in row.messages] == ["Look  it up.\n\tPlease", "", "found", "Here."]
    assert row.messages[1].tool_calls[0].arguments == {"query": "a\u200b  b"}
    assert json.loads((tmp_path / "clean" / "cleaning.json").read_text())["control_characters"] == 1


def test_a_turn_that_cleaning_empties_sets_its_row_aside(tmp_path):
    rows = [asked("What stands here?", "\u200b\u2060"), *varied(20)]
    done = through(write_lines(tmp_path / "chats.jsonl", rows), tmp_path)
    assert [(entry["row"], entry["reason"]) for entry in done.quarantine] == [(1, "empty_content")]


def test_answers_that_cleaning_makes_the_same_teach_nothing(tmp_path):
    rows = [
        {"prompt": row["messages"][0]["content"], "chosen": "Yes, always.", "rejected": f"Never {at}."}
        for at, row in enumerate(varied(20))
    ]
    rows[3] |= {"rejected": "Yes, always\u200b."}
    done = through(write_lines(tmp_path / "pairs.jsonl", rows), tmp_path)
    assert [(entry["row"], entry["reason"]) for entry in done.quarantine] == [(4, "same_answers")]


def test_a_system_prompt_goes_where_there_is_none(tmp_path):
    rows = [asked("Who are you?", "A pirate.", system="Talk like a pirate."), *varied(10)]
    done = through(write_lines(tmp_path / "chats.jsonl", rows), tmp_path, system="Be brief.")
    first, *others = (row.messages[0] for row in done.rows())
    assert first.content == "Talk like a pirate."
    assert {(turn.role, turn.content) for turn in others} == {("system", "Be brief.")}
    assert done.data.manifest.quality["with_system_share"] == 1


def test_a_row_with_several_conversations_gives_rows_with_numbers_of_their_own(tmp_path):
    tasks = [
        {
            "id": f"task {at}",
            "instruction": row["messages"][0]["content"],
            "instances": [{"input": f"{at} {n}", "output": row["messages"][1]["content"]} for n in "ab"],
        }
        for at, row in enumerate(varied(10))
    ]
    done = through(write_lines(tmp_path / "tasks.jsonl", tasks), tmp_path, split_by="id")
    assert [row.row for row in done.rows()] == list(range(1, 21))
    assert "10 rows of the source hold several conversations" in " ".join(done.read.facts.notes)
    sides = {name: set(done.data.frame(name)["id"]) for name in SPLITS}
    assert sum(len(ids) for ids in sides.values()) == len(set.union(*sides.values())) == 10


def test_secrets_in_the_arguments_of_a_call_are_seen(tmp_path):
    calls = [{"function": {"name": "log_in", "arguments": {"key": SECRET}}}]
    turns = [{"role": "user", "content": "Log in."}, {"role": "assistant", "tool_calls": calls}]
    source = write_lines(tmp_path / "chats.jsonl", [{"messages": turns}, *varied(20)])
    assert any(kind.startswith("secret:") for kind in through(source, tmp_path).judged.flags)
    set_aside = through(source, tmp_path, validation={"quarantine_flagged": True}).quarantine
    assert [(entry["row"], entry["reason"], entry["text"]) for entry in set_aside] == [(1, "secret", None)]


def test_too_few_rows_are_refused_without_a_word_of_labels(tmp_path):
    source = write_lines(tmp_path / "chats.jsonl", varied(2))
    with pytest.raises(InputError, match="2 good rows are left of 2, at least 3 are needed") as refused:
        through(source, tmp_path)
    told = f"{refused.value.fact} {refused.value.mend}".replace("min_rows_per_label", "")
    assert "label" not in told
    assert "classifier" not in told


def test_each_line_of_a_text_file_is_a_row(tmp_path):
    lines = [row["messages"][1]["content"] for row in varied(30)]
    (tmp_path / "book.txt").write_text("\n\n".join(lines), encoding="utf-8")
    done = through(tmp_path / "book.txt", tmp_path)
    assert [row.text for row in done.rows()] == lines
    assert done.data.label_names == ("text",)
    assert "mean_turns" not in done.data.manifest.quality
