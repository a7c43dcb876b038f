"""``tunewright data convert`` as a user meets it."""

from __future__ import annotations

import itertools
import json

import pytest
from chat_samples import GOOD, assistant, user

ROW = GOOD["messages"][0]
TWO = {"messages": [user("a"), assistant("b"), user("c"), assistant("d")]}


@pytest.fixture
def source(tmp_path):
    """Three good rows, and two that are none."""
    path = tmp_path / "in.jsonl"
    rows = [ROW, TWO, {"messages": [user()]}, ROW, {"messages": [user(), assistant("")], "id": 5}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_what_was_read_converted_and_refused_is_said(cli, source, tmp_path):
    said = cli("data", "convert", "in.jsonl", "out.jsonl", "--to", "sharegpt", cwd=tmp_path)
    assert said.code == 0
    assert said.out.splitlines() == [
        "5 rows read as messages, 3 converted to sharegpt, 2 refused",
        "refused: 1 no_assistant",
        "refused: 1 empty_content",
    ]
    assert "format: messages (5 of the first 5 rows have messages)" in said.err
    assert len(lines(tmp_path / "out.jsonl")) == 3
    first, second = lines(tmp_path / "out.refused.jsonl")
    assert first == {
        "row": 3,
        "source": "in.jsonl",
        "reason": "no_assistant",
        "detail": "the field 'messages' has no turn of the assistant, so nothing is learned",
        "raw": {"messages": [user()]},
    }
    assert (second["row"], second["reason"]) == (5, "empty_content")
    assert second["detail"] == "the field 'messages[1].content' is empty"


def test_json_tells_the_same_facts(cli, source, tmp_path):
    facts = cli(
        "data", "convert", "in.jsonl", "o.parquet", "--to", "prompt-completion", "--json", cwd=tmp_path
    ).facts
    assert (facts["read"], facts["converted"], facts["written"]) == (5, 2, 2)
    assert facts["refused"] == {"loses_turns": 1, "no_assistant": 1, "empty_content": 1}
    assert (facts["file"], facts["refused_file"]) == ("o.parquet", "o.refused.jsonl")
    assert (facts["source_format"], facts["target"]) == ("messages", "prompt-completion")


def test_nothing_is_overwritten_without_being_told(cli, source, tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    words = ("data", "convert", "in.jsonl", "out.jsonl", "--to", "sharegpt")
    said = cli(*words, cwd=tmp_path)
    assert (said.code, out.read_text()) == (2, "mine")
    assert "out.jsonl: exists already; give another name, or add --force" in said.complaint
    assert not (tmp_path / "out.refused.jsonl").exists()
    assert cli(*words, "--force", cwd=tmp_path).code == 0
    assert len(lines(out)) == 3


def test_an_earlier_file_of_refused_rows_is_not_overwritten_either(cli, source, tmp_path):
    (tmp_path / "bad.jsonl").write_text("mine")
    words = ("data", "convert", "in.jsonl", "out.jsonl", "--to", "sharegpt", "--refused", "bad.jsonl")
    said = cli(*words, cwd=tmp_path)
    assert said.code == 2
    assert "bad.jsonl: exists already" in said.complaint
    assert not (tmp_path / "out.jsonl").exists()
    assert cli(*words, "--force", cwd=tmp_path).code == 0
    assert len(lines(tmp_path / "bad.jsonl")) == 2


def test_forced_again_on_good_rows_leaves_no_list_of_refused_ones(cli, source, tmp_path):
    words = ("data", "convert", "in.jsonl", "out.jsonl", "--to", "sharegpt")
    assert cli(*words, cwd=tmp_path).code == 0
    source.write_text(json.dumps(ROW) + "\n")
    said = cli(*words, "--force", cwd=tmp_path)
    assert said.out == "1 rows read as messages, 1 converted to sharegpt, 0 refused\n"
    assert not (tmp_path / "out.refused.jsonl").exists()


@pytest.mark.parametrize("more", [(), ("--force",)])
def test_the_source_is_never_written_over(cli, source, tmp_path, more):
    before = source.read_bytes()
    said = cli("data", "convert", "in.jsonl", "./in.jsonl", "--to", "sharegpt", *more, cwd=tmp_path)
    assert said.code == 2
    assert "is the source itself" in said.complaint
    assert source.read_bytes() == before


def test_one_name_for_both_files_is_refused(cli, source, tmp_path):
    said = cli(
        "data", "convert", "in.jsonl", "o.jsonl", "--to", "messages", "--refused", "o.jsonl", cwd=tmp_path
    )
    assert said.code == 2
    assert "--refused" in said.complaint


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ("out.jsonl", "--to", "mesages"),
            "--to: there is no format 'mesages' to write; did you mean 'messages'?",
        ),
        (("out.jsonl", "--to", "preferance"), "did you mean 'preference'?"),
        (("out.jsonl", "--to", "zzz"), "give one of messages, alpaca, sharegpt"),
        (
            ("out.jsonl", "--to", "messages", "--from", "alpacca"),
            "--from: there is no format 'alpacca'; did you mean",
        ),
        (("out.csv", "--to", "messages"), "out.csv: the ending '.csv' is no format that can be written"),
        (("out.jsn", "--to", "messages"), "did you mean '.json'?"),
        (("out", "--to", "messages"), "end it in .jsonl, .json, .parquet"),
    ],
)
def test_wrong_words_end_with_two_and_the_nearest_name(cli, source, tmp_path, words, complaint):
    said = cli("data", "convert", "in.jsonl", *words, cwd=tmp_path)
    assert said.code == 2
    assert complaint in said.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_source_that_is_not_there_ends_with_two(cli, source, tmp_path):
    said = cli("data", "convert", "inn.jsonl", "out.jsonl", "--to", "messages", cwd=tmp_path)
    assert said.code == 2
    assert "inn.jsonl: no such file or folder; did you mean 'in.jsonl'?" in said.complaint


def test_where_nothing_can_be_converted_no_file_is_written_and_the_exit_is_one(cli, source, tmp_path):
    said = cli("data", "convert", "in.jsonl", "out.jsonl", "--to", "text", "--json", cwd=tmp_path)
    assert said.code == 1
    assert said.facts["file"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.refused.jsonl"]
    assert len(lines(tmp_path / "out.refused.jsonl")) == 5


def test_a_source_that_breaks_off_leaves_no_file_behind(cli, tmp_path):
    (tmp_path / "in.json").write_text(json.dumps([ROW, {"messages": []}] * 200)[:-30])
    said = cli("data", "convert", "in.json", "out.parquet", "--to", "messages", cwd=tmp_path)
    assert said.code == 2
    assert "malformed or cut-off JSON" in said.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["in.json"]


def test_a_system_prompt_is_given_to_conversations_that_have_none(cli, tmp_path):
    rows = [
        {"question": "Warm?", "answer": "Yes."},
        {"question": "Cold?", "answer": "No.", "system": "Be kind."},
    ]
    (tmp_path / "in.json").write_text(json.dumps(rows))
    said = cli(
        "data", "convert", "in.json", "out.json", "--to", "messages", "--system", "Be brief.", cwd=tmp_path
    )
    assert said.code == 0
    made = json.loads((tmp_path / "out.json").read_text())
    assert [row["messages"][0]["content"] for row in made] == ["Be brief.", "Be kind."]


def test_plain_text_has_no_place_for_a_system_prompt(cli, tmp_path):
    (tmp_path / "in.txt").write_text("The sky is blue.\n")
    said = cli(
        "data", "convert", "in.txt", "o.jsonl", "--to", "text", "--system", "x", "--json", cwd=tmp_path
    )
    assert said.facts["refused"] == {"no_place_for_system": 1}


def test_fields_that_are_not_carried_over_are_told_and_refused_when_strict(cli, tmp_path):
    rows = [{"question": "Warm?", "answer": "Yes.", "id": n} for n in range(3)] + [
        {"question": "Cold?", "answer": "No."}
    ]
    (tmp_path / "in.json").write_text(json.dumps(rows))
    said = cli("data", "convert", "in.json", "out.jsonl", "--to", "messages", cwd=tmp_path)
    assert "not carried over: id of 3 rows" in said.out
    strict = cli(
        "data", "convert", "in.json", "s.jsonl", "--to", "messages", "--strict", "--json", cwd=tmp_path
    )
    assert strict.facts["refused"] == {"unknown_field": 3}


def test_a_format_is_told_where_two_fit(cli, tmp_path):
    row = {**GOOD["preference"][0], **ROW}
    (tmp_path / "in.jsonl").write_text((json.dumps(row) + "\n") * 2)
    said = cli("data", "convert", "in.jsonl", "out.jsonl", "--to", "messages", cwd=tmp_path)
    assert said.code == 2
    assert "--from messages" in said.complaint
    told = cli("data", "convert", "in.jsonl", "o.jsonl", "--to", "kto", "--from", "preference", cwd=tmp_path)
    assert "2 rows read as preference, 2 converted to kto, 0 refused\n4 rows written\n" in told.out


def test_broken_characters_of_a_refused_row_are_kept_as_an_escape(cli, tmp_path):
    (tmp_path / "in.jsonl").write_text(json.dumps(ROW) + "\n" + '{"messages": "half \\ud800"}\n')
    assert cli("data", "convert", "in.jsonl", "o.jsonl", "--to", "messages", cwd=tmp_path).code == 0
    (aside,) = lines(tmp_path / "o.refused.jsonl")
    assert aside["raw"] == {"messages": "half \ud800"}


def test_how_a_source_is_read_can_be_told(cli, tmp_path):
    (tmp_path / "in.csv").write_text(
        "question~answer\nWarm?~Yes, or no\nCold?~No\nWet?~Yes\n", encoding="utf-8"
    )
    words = ("in.csv", "out.jsonl", "data.delimiter=~", "data.max_rows=2", "--to", "prompt-completion")
    said = cli("data", "convert", *words, cwd=tmp_path)
    assert said.code == 0, said.err
    assert lines(tmp_path / "out.jsonl") == [
        {"prompt": "Warm?", "completion": "Yes, or no"},
        {"prompt": "Cold?", "completion": "No"},
    ]


def test_a_document_with_several_arrays_asks_which_holds_the_rows(cli, tmp_path):
    (tmp_path / "in.json").write_text(json.dumps({"good": [ROW], "bad": [ROW, ROW]}))
    words = ("data", "convert", "in.json", "out.jsonl", "--to", "messages")
    said = cli(*words, cwd=tmp_path)
    assert said.code == 2
    assert "data.json_field" in said.complaint
    assert cli(*words, "data.json_field=bad", cwd=tmp_path).code == 0
    assert len(lines(tmp_path / "out.jsonl")) == 2


def test_a_misspelt_key_gets_the_nearest(cli, source, tmp_path):
    said = cli("data", "convert", "in.jsonl", "out.jsonl", "data.max_row=2", "--to", "messages", cwd=tmp_path)
    assert said.code == 2
    assert "data.max_rows" in said.complaint


def test_a_prompt_and_its_completion_get_a_system_prompt_as_turns(cli, tmp_path):
    (tmp_path / "in.json").write_text(json.dumps([GOOD["prompt-completion"][0]]))
    words = ("data", "convert", "in.json", "out.jsonl", "--to", "messages", "--system", "Be brief.")
    assert cli(*words, cwd=tmp_path).code == 0
    assert lines(tmp_path / "out.jsonl") == [
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                user("The sky is"),
                assistant(" blue."),
            ]
        }
    ]


@pytest.mark.parametrize("name", ["alpaca", "sharegpt", "preference", "kto"])
@pytest.mark.parametrize("ending", ["json", "parquet"])
def test_every_ending_gives_the_same_rows(cli, tmp_path, name, ending):
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in GOOD[name]))
    steps = ("in.jsonl", f"there.{ending}", "back.jsonl"), ("in.jsonl", "straight.jsonl")
    for path in steps:
        for source, out in itertools.pairwise(path):
            said = cli("data", "convert", source, out, "--from", name, "--to", name, cwd=tmp_path)
            assert said.code == 0, said.err
    assert lines(tmp_path / "back.jsonl") == lines(tmp_path / "straight.jsonl")
