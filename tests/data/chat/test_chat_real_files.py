"""Real files of each format are known for what they are, and every row of them is converted."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tunewright.config.data import DataConfig
from tunewright.data.chat.converting import convert
from tunewright.data.chat.opening import open_chat

FORMS = {
    "chat_formats/alpaca_en_demo.json": "alpaca",
    "chat_formats/identity.json": "alpaca",
    "chat_formats/glaive_toolcall_en_demo.json": "sharegpt",
    "chat_formats/dpo_en_demo.json": "preference",
    "chat_formats/kto_en_demo.json": "kto",
    "self_instruct/seed_tasks.jsonl": "self-instruct",
    "self_instruct/user_oriented_instructions.jsonl": "self-instruct",
}


@pytest.fixture
def file(shared, require):
    def find(name):
        path = shared / "data" / name
        require(path.is_file(), f"no {path}")
        return path

    return find


def raw(path):
    text = path.read_text(encoding="utf-8")
    return (
        json.loads(text)
        if path.suffix == ".json"
        else [json.loads(line) for line in text.split("\n") if line]
    )


def taken(path):
    found = list(open_chat(DataConfig(source=str(path)), base_dir=path.parent).rows())
    assert [each.at.row for each in found] == list(range(1, len(found) + 1))
    assert [each.refused for each in found if each.refused] == []
    return [row for each in found for row in each.rows]


def roles(messages):
    return Counter(message.role for message in messages)


@pytest.mark.parametrize(("name", "form"), FORMS.items())
def test_every_row_is_taken_and_keeps_its_number_and_file(file, name, form):
    path = file(name)
    opened = open_chat(DataConfig(source=str(path)), base_dir=path.parent)
    assert opened.format.name == form
    rows = taken(path)
    assert [(row.row, row.source) for row in rows] == [(at, path.name) for at in range(1, len(raw(path)) + 1)]


@pytest.mark.parametrize("name", ["chat_formats/alpaca_en_demo.json", "chat_formats/identity.json"])
def test_an_instruction_and_its_input_are_asked_together(file, name):
    path = file(name)
    for row, was in zip(taken(path), raw(path), strict=True):
        question, answer = row.messages
        assert question.content == was["instruction"] + ("\n" + was["input"] if was["input"] else "")
        assert answer.content == was["output"]


def test_every_call_and_every_tool_is_there(file):
    path = file("chat_formats/glaive_toolcall_en_demo.json")
    rows, was = taken(path), raw(path)
    said = Counter(turn["from"] for row in was for turn in row["conversations"])
    found = roles(message for row in rows for message in row.messages)
    assert found == {
        "user": said["human"], "assistant": said["gpt"] + said["function_call"], "tool": said["observation"],
    }  # fmt: skip
    calls = [call for row in rows for message in row.messages for call in message.tool_calls]
    asked = [
        json.loads(turn["value"])
        for row in was
        for turn in row["conversations"]
        if turn["from"] == "function_call"
    ]
    assert [{"name": call.name, "arguments": call.arguments} for call in calls] == asked
    assert [[tool["function"] for tool in row.tools] for row in rows] == [
        json.loads(row["tools"]) for row in was
    ]


def test_a_preference_keeps_its_prompt_and_both_answers(file):
    path = file("chat_formats/dpo_en_demo.json")
    for row, was in zip(taken(path), raw(path), strict=True):
        assert [message.content for message in row.messages] == [
            turn["value"] for turn in was["conversations"]
        ]
        assert [message.content for message in row.chosen] == [was["chosen"]["value"]]
        assert [message.content for message in row.rejected] == [was["rejected"]["value"]]


def test_a_rated_conversation_is_cut_before_its_last_answer(file):
    path = file("chat_formats/kto_en_demo.json")
    rows, was = taken(path), raw(path)
    assert Counter(row.good for row in rows) == Counter(row["label"] for row in was)
    for row, one in zip(rows, was, strict=True):
        assert [message.content for message in row.messages] == [
            turn["content"] for turn in one["messages"][:-1]
        ]
        assert [message.content for message in row.chosen] == [one["messages"][-1]["content"]]


@pytest.mark.parametrize(
    "name", ["self_instruct/seed_tasks.jsonl", "self_instruct/user_oriented_instructions.jsonl"]
)
def test_every_instance_of_a_task_is_a_conversation(file, name):
    path = file(name)
    rows, was = taken(path), raw(path)
    assert len(rows) == sum(len(task["instances"]) for task in was)
    outputs = [each["output"] for task in was for each in task["instances"]]
    assert [row.messages[-1].content for row in rows] == outputs


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet"])
@pytest.mark.parametrize(
    ("name", "target"),
    [("glaive_toolcall_en_demo", "messages"), ("glaive_toolcall_en_demo", "sharegpt"), ("identity", "alpaca"),
     ("dpo_en_demo", "preference"), ("kto_en_demo", "kto"), ("identity", "prompt-completion")],
)  # fmt: skip
def test_what_was_written_is_read_again_as_the_same_rows(file, tmp_path, name, target, ending):
    path = file(f"chat_formats/{name}.json")
    done = convert(DataConfig(source=str(path)), tmp_path / f"out.{ending}", to=target, base_dir=tmp_path)
    assert done.read == done.converted == done.written == len(raw(path))
    again = open_chat(DataConfig(source=str(done.file)), base_dir=tmp_path)
    assert again.format.name == target
    found = [row for each in again.rows() for row in each.rows]
    place = {"row": 0, "source": ""}
    if target == "prompt-completion":
        assert [(row.prompt, row.completion) for row in found] == [
            tuple(message.content for message in row.messages) for row in taken(path)
        ]
    else:
        assert [row.model_copy(update=place) for row in found] == [
            row.model_copy(update=place) for row in taken(path)
        ]


def test_rows_with_tools_can_not_become_alpaca_and_are_set_aside_whole(file, tmp_path):
    path = file("chat_formats/glaive_toolcall_en_demo.json")
    done = convert(DataConfig(source=str(path)), tmp_path / "out.jsonl", to="alpaca", base_dir=tmp_path)
    with_tools = [(number, row) for number, row in enumerate(raw(path), start=1) if json.loads(row["tools"])]
    assert done.refused == {"loses_tools": len(with_tools)}
    aside = raw(done.refused_file)
    assert [(each["row"], each["raw"]) for each in aside] == with_tools
    assert {each["reason"] for each in aside} == {"loses_tools"}


def test_plain_python_and_datasets_open_what_was_written(file, tmp_path):
    import pyarrow.parquet as pq

    path = file("chat_formats/glaive_toolcall_en_demo.json")
    done = convert(DataConfig(source=str(path)), tmp_path / "out.parquet", to="messages", base_dir=tmp_path)
    table = pq.read_table(done.file).to_pylist()
    calls = [turn["tool_calls"] for row in table for turn in row["messages"] if turn["tool_calls"]]
    assert calls
    assert all(isinstance(json.loads(call["function"]["arguments"]), dict) for each in calls for call in each)
    identity = DataConfig(source=str(file("chat_formats/identity.json")))
    plain = convert(identity, tmp_path / "plain.parquet", to="messages", base_dir=tmp_path)
    assert pq.read_schema(plain.file).names == ["messages"]
    turns = [turn for row in pq.read_table(plain.file).to_pylist() for turn in row["messages"]]
    assert {tuple(turn) for turn in turns} == {("role", "content")}
