"""The bundled projects for language models: their rows are what their pages say, and their tools make them again."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from tunewright.config.compose import compose
from tunewright.config.data import DataConfig
from tunewright.data.chat.opening import open_chat

PROJECTS = Path(str(files("tunewright") / "templates" / "projects"))
TOOLS = Path(__file__).resolve().parents[2] / "tools"
ORDER_ID = re.compile(r"TW-\d{5}|\d{4}-[A-Z]", re.IGNORECASE)
ROWS = {
    "extract/messages.jsonl": "conversation",
    "extract/unseen.jsonl": "conversation",
    "pretrain/texts.jsonl": "text",
    "chat/conversations.jsonl": "conversation",
    "preference/pairs.jsonl": "preference",
}


@pytest.fixture
def tool(monkeypatch):
    """Import a tool of the repository by its name."""
    monkeypatch.syspath_prepend(str(TOOLS))

    def make(name: str):
        spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        return found

    yield make
    for name in [each for each in sys.modules if each.split(".")[0] == "shop"]:
        del sys.modules[name]


def examples(name: str) -> list[tuple[str, dict[str, str | None]]]:
    """Return messages with their answers."""
    rows = [json.loads(line)["messages"] for line in (PROJECTS / "extract" / name).read_text().splitlines()]
    return [(user["content"], json.loads(answer["content"])) for user, answer in rows]


@pytest.fixture(scope="module")
def seen():
    return examples("messages.jsonl")


@pytest.fixture(scope="module")
def unseen():
    return examples("unseen.jsonl")


@pytest.mark.parametrize("name", ["make_extract_data", "make_chat_data"])
def test_the_tools_make_the_committed_files_to_the_byte(tool, name):
    folder = PROJECTS / "extract" if name == "make_extract_data" else PROJECTS
    for file, text in tool(name).files().items():
        assert (folder / file).read_text(encoding="utf-8") == text


def test_the_texts_to_pretrain_on_are_made_to_the_byte(tool):
    for path, text in tool("make_pretrain_data").files().items():
        assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_read(name):
    found = open_chat(DataConfig(source=str(PROJECTS / name)), base_dir=PROJECTS)
    taken = list(found.rows(strict=True))
    assert {each.refused for each in taken} == {None}
    assert {row.kind for each in taken for row in each.rows} == {ROWS[name]}


@pytest.mark.parametrize("project", sorted({name.split("/")[0] for name in ROWS}))
def test_every_template_composes_and_explains_its_knobs(project):
    recipe = compose(configs=PROJECTS / project)
    assert recipe.trains_language_model
    assert (PROJECTS / project / Path(recipe.data.source).name).is_file()
    for line in (PROJECTS / project / "config.yaml").read_text().splitlines():
        key, colon, rest = line.partition(":")
        is_knob = bool(colon) and not line.lstrip().startswith(("#", "-")) and bool(rest.strip())
        assert not is_knob or "#" in rest, f"{key.strip()} has no comment"


def test_the_values_of_every_answer_stand_in_its_message(seen, unseen):
    for message, answer in (*seen, *unseen):
        assert list(answer) == ["intent", "order_id", "product", "date"]
        for name in ("order_id", "product", "date"):
            assert answer[name] is None or answer[name] in message


def test_every_order_id_of_a_message_is_answered(seen, unseen):
    for message, answer in (*seen, *unseen):
        assert ORDER_ID.findall(message) == ([answer["order_id"]] if answer["order_id"] else [])


def test_the_schema_allows_every_answer_and_refuses_others(seen, unseen):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((PROJECTS / "extract" / "answer.schema.json").read_text())
    check = jsonschema.Draft202012Validator(schema)
    for _, answer in (*seen, *unseen):
        check.validate(answer)
    for wrong in ({"intent": "greeting"}, {"order_id": "44-A"}, {"more": 1}):
        assert not check.is_valid({**seen[0][1], **wrong})


def test_no_order_id_and_no_day_of_the_calendar_comes_twice(seen, unseen):
    answers = [answer for _, answer in (*seen, *unseen)]
    ids = [answer["order_id"].upper() for answer in answers if answer["order_id"]]
    days = [
        answer["date"].lower() for answer in answers if answer["date"] and re.search(r"\d", answer["date"])
    ]
    assert len(ids) == len(set(ids)) > 1000
    assert len(days) == len(set(days)) > 500


def test_the_unseen_patterns_are_not_among_the_seen_ones():
    import yaml

    patterns = yaml.safe_load((TOOLS / "shop" / "messages.yaml").read_text(encoding="utf-8"))
    for part, lists in patterns.items():
        assert not set(filter(None, lists["seen"])) & set(filter(None, lists["unseen"])), part
    intents = [lists for part, lists in patterns.items() if part not in {"openers", "closers"}]
    share = sum(len(each["unseen"]) for each in intents) / sum(len(each["seen"]) for each in intents)
    assert 0.1 <= share <= 0.12


def test_unseen_messages_name_products_that_the_seen_ones_never_name(seen, unseen):
    import yaml

    words = yaml.safe_load((TOOLS / "shop" / "words.yaml").read_text(encoding="utf-8"))
    new = tuple(words["unseen_things"])
    assert not any((answer["product"] or "").endswith(new) for _, answer in seen)
    assert sum((answer["product"] or "").endswith(new) for _, answer in unseen) > 30


def test_the_intents_are_balanced_and_every_field_is_absent_at_times(seen):
    from collections import Counter

    counts = Counter(answer["intent"] for _, answer in seen)
    assert len(counts) == 8
    assert max(counts.values()) < 1.2 * min(counts.values())
    for name in ("order_id", "product", "date"):
        assert 0.2 < sum(answer[name] is None for _, answer in seen) / len(seen) < 0.8


def test_the_texts_to_pretrain_on_hold_neither_the_task_nor_an_order_id_of_it(seen, unseen):
    texts = [
        json.loads(line)["text"] for line in (PROJECTS / "pretrain" / "texts.jsonl").read_text().splitlines()
    ]
    asked = {answer["order_id"].upper() for _, answer in (*seen, *unseen) if answer["order_id"]}
    general = (PROJECTS / "extract" / "general.txt").read_text()
    for text in (*texts, general):
        assert '"intent"' not in text
        assert '"order_id"' not in text
        assert not asked & {found.upper() for found in ORDER_ID.findall(text)}
    assert not set(texts) & set(general.strip().split("\n\n"))
    messages = {message for message, _ in (*seen, *unseen)}
    assert not any(message in text for text in texts[:500] for message in messages)


def test_the_files_are_small():
    sizes = {path.name: path.stat().st_size for path in PROJECTS.rglob("*") if path.is_file()}
    assert sizes["messages.jsonl"] + sizes["unseen.jsonl"] + sizes["general.txt"] < 1_000_000
    assert sizes["texts.jsonl"] < 1_500_000


def test_the_wanted_answer_is_short_and_never_the_rejected_one():
    for line in (PROJECTS / "preference" / "pairs.jsonl").read_text().splitlines():
        row = json.loads(line)
        chosen, rejected = (row[side][0]["content"] for side in ("chosen", "rejected"))
        assert chosen != rejected
        assert len(chosen) < 120
