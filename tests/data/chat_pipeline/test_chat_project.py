"""A project of a language model from the command line: run, run again, look at the data, change it, go back."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from chat_steps import asked, varied, write_lines

pytestmark = pytest.mark.slow
WORDS = ("run", "training=sft", "data=chat", "--until", "split", "--json")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project in which the data steps have run on 60 rows, one of them refused."""
    from tunewright.cli.app import main

    folder = tmp_path_factory.mktemp("project")
    script = asked("Is <b>this</b> bold?", "<script>alert(1)</script>", system="Answer\nin lines.")
    write_lines(folder / "chats.jsonl", [*varied(60), {"messages": []}, script])
    with pytest.MonkeyPatch.context() as patch:
        for words in (["init", "talk", "--source", "chats.jsonl"], WORDS):
            patch.chdir(folder / "talk" if words is WORDS else folder)
            with pytest.raises(SystemExit) as ended:
                main([*words])
            assert not ended.value.code
    return folder / "talk"


def page_text(page: str) -> str:
    class Text(HTMLParser):
        said = ""

        def handle_starttag(self, tag, _attrs):
            assert tag != "script"

        def handle_data(self, data):
            self.said += data

    reader = Text()
    reader.feed(page)
    return " ".join(reader.said.partition("}\n")[2].split())


def test_a_rerun_skips_every_step(project, cli):
    assert cli(*WORDS, cwd=project).facts["steps"] == dict.fromkeys(
        ("ingest", "clean", "validate", "split"), "skipped"
    )


def test_the_steps_read_what_changes_rows(project, cli):
    plan = cli(*WORDS, "--dry-run", "data.system=Be brief.", cwd=project).facts
    assert plan["ingest"]["state"] == "would run"
    plan = cli(*WORDS, "--dry-run", "training.epochs=2", cwd=project).facts
    assert {step["state"] for step in plan.values()} == {"would be skipped"}


def test_data_show_and_inspect_speak_of_kinds_and_formats(project, cli):
    shown = cli("data", "show", cwd=project).out
    for told in (
        "format         messages",
        "kinds          conversation 61",
        "rows           62 read, 61 distinct rows",
    ):
        assert told in shown
    assert "label" not in shown
    facts = json.loads(cli("data", "show", "--json", cwd=project).out)
    assert facts["source"]["chat_format"] == "messages"
    assert facts["leaks"] == {"normalised_text": 0, "near_duplicate": 0, "prompt": 0}
    looked = cli("data", "inspect", "../chats.jsonl", "training=sft", cwd=project)
    assert "chat_format    'messages'" in looked.out
    assert "column" not in looked.out


def test_the_card_shows_conversations_and_runs_nothing(project):
    text = page_text((project / "reports" / "data.html").read_text(encoding="utf-8"))
    for told in (
        "no prompt",
        "Kinds of rows",
        "2 turns",
        "1.6 % of the rows begin with a system prompt",
        "messages",
    ):
        assert told in text, told
    assert "abel" not in text.replace("label string", "")


def test_a_changed_answer_shows_in_the_diff_and_goes_back(project, cli):
    before = json.loads(cli("data", "show", "--json", cwd=project).out)["digest"]
    source = project.parent / "chats.jsonl"
    kept = source.read_text()
    source.write_text(
        kept.replace('"assistant", "content": "harbour 0', '"assistant", "content": "tower 0', 1)
    )
    assert cli(*WORDS, cwd=project).code == 0
    said = cli("data", "diff", before[:12], "latest", cwd=project).out
    assert "61 rows before, 61 after: 1 added, 1 removed\n" in said
    assert "relabelled" not in said
    assert len(said.splitlines()) == 3
    assert cli("data", "restore", before[:12], cwd=project).code == 0
    assert json.loads(cli("data", "show", "--json", cwd=project).out)["digest"] == before
    assert cli("data", "release", cwd=project).code == 0
    source.write_text(kept)
