"""Write the texts of the project template ``pretrain``, and the held-out ones of ``extract``: documents of a shop.

    python tools/make_pretrain_data.py

The same files come out every time; a test compares them with those committed. Documents are put together from the
sentences of ``tools/shop/documents.yaml``; values come again within a document. None of them turns a message into JSON,
and none holds an order id of the customer messages (run ``make_extract_data.py`` first).
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from pathlib import Path
from typing import Any

from shop.world import PROJECTS, World, read

TRAIN, HELD_OUT = PROJECTS / "pretrain" / "texts.jsonl", PROJECTS / "extract" / "general.txt"
MESSAGES = ("messages.jsonl", "unseen.jsonl")
SEEDS = {TRAIN: 3, HELD_OUT: 4}
CHARACTERS = {TRAIN: 1_300_000, HELD_OUT: 24_000}
KINDS = (
    ("mail", 0.46),
    ("dictation", 0.20),
    ("letter", 0.08),
    ("dialogue", 0.10),
    ("note", 0.04),
    ("description", 0.03),
    ("list", 0.05),
    ("record", 0.04),
)
"""Shares of the kinds of documents."""
ID = re.compile(r"TW-\d{5}|\d{4}-[A-Z]", re.IGNORECASE)
OPTIONAL_SHARE, FILLER_SHARE, LOWER_SHARE, QUOTED_SHARE = 0.6, 0.4, 0.15, 0.6
"""Of a mail's parts in brackets, mails with a sentence about nothing, mails and dictations in small letters, slips with
quotation marks."""
NEW_THINGS_SHARE = 0.1
"""Products that the customer messages learned from don't name."""
JUMBLED_SHARE = 0.5
"""Dictations of words and numbers without any sense, where nothing but copying helps."""
ITEMS = (5, 14)
"""How many of them, from and to."""
ITEM_SLOTS = (
    "id",
    "date",
    "code",
    "price",
    "phone",
    "count",
    "shelf",
    "product",
    "name",
    "family",
    "town",
    "material",
)


def main() -> None:
    """Write both files."""
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def files() -> dict[Path, str]:
    """Return the text of each file."""
    taken = {
        found.upper()
        for name in MESSAGES
        for found in ID.findall((PROJECTS / "extract" / name).read_text(encoding="utf-8"))
    }
    texts = {path: _documents(World(seed, taken=taken), CHARACTERS[path]) for path, seed in SEEDS.items()}
    return {
        TRAIN: "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts[TRAIN]),
        HELD_OUT: "\n\n".join(texts[HELD_OUT]) + "\n",
    }


def _documents(world: World, characters: int) -> list[str]:
    """Return distinct documents of about so many characters together."""
    parts = {**read("documents.yaml"), "mails": read("mails.yaml")}
    things = world.things
    found: dict[str, None] = {}
    length = 0
    while length < characters:
        world.things = world.words["unseen_things"] if world.chance(NEW_THINGS_SHARE) else things
        text = _document(world, parts)
        length += 0 if text in found else len(text)
        found[text] = None
    return list(found)


def _document(world: World, parts: dict[str, Any]) -> str:
    """Return a document of a kind drawn by its share."""
    at = world.random.random() * sum(share for _, share in KINDS)
    kind = next(
        kind for kind, end in zip(dict(KINDS), accumulate(dict(KINDS).values()), strict=True) if at < end
    )
    return {
        "mail": _mail,
        "dictation": _dictation,
        "letter": _letter,
        "dialogue": _dialogue,
        "note": _notes,
        "description": _description,
        "list": _list,
        "record": _records,
    }[kind](world, parts)


def _mail(world: World, parts: dict[str, Any]) -> str:
    """Return what a customer wrote, and a slip in words: what it is about, and what it names."""
    pool, values = parts["mails"], {}
    topic = world.choose(list(pool["topics"]))
    sentences = [world.shorten(world.choose(pool["topics"][topic]), OPTIONAL_SHARE)]
    if world.chance(FILLER_SHARE):
        sentences.insert(world.number(0, 1), world.choose(pool["fillers"]))
    said = " ".join(world.fill(each, values) for each in sentences)
    mail = (world.fill(world.choose(pool["greetings"])), said, world.fill(world.choose(pool["ends"])))
    day = next((values[slot][1] for slot in ("on", "by", "day", "onday") if slot in values), "none")
    found = {
        "topic": topic,
        "product": values.get("product", ("none", "none"))[1],
        "id": values.get("id", ("none", "none"))[1],
        "day": day,
    }
    text = (" " if world.chance(0.6) else "\n").join(part for part in mail if part)
    if world.chance(LOWER_SHARE):
        text, found = text.lower(), {field: value.lower() for field, value in found.items()}
    quoted = world.chance(QUOTED_SHARE)
    lines = [
        world.choose(pool["slip"][field]).replace(
            "{v}", f'"{found[field]}"' if quoted and found[field] != "none" else found[field]
        )
        for field in world.shuffled(list(found))[: world.number(2, 4)]
    ]
    return "\n".join([text, " ".join([world.fill(world.choose(pool["heads"])), *lines])])


def _dictation(world: World, parts: dict[str, Any]) -> str:
    """Return lines, and the same lines once or twice more: what a small model learns to copy from."""
    pool, people = parts["dictation"], {}
    if world.chance(JUMBLED_SHARE):
        lines = [" ".join(world.value(world.choose(ITEM_SLOTS))[1] for _ in range(world.number(*ITEMS)))]
    else:
        lines = [world.fill(each) for each in world.shuffled(pool["lines"])[: world.number(1, 4)]]
    text = "\n".join("\n".join([world.fill(head, people), *lines]) for head in world.choose(pool["heads"]))
    return text.lower() if world.chance(LOWER_SHARE) else text


def _letter(world: World, parts: dict[str, Any]) -> str:
    """Return a letter whose sentences speak of one order."""
    pool, values = parts["letter"], {}
    lines = [pool["opening"], pool["closing"]]
    opening, closing = (world.fill(world.choose(each), values) for each in lines)
    body = world.shuffled(pool["body"])[: world.number(1, 3)]
    confirm = world.shuffled(pool["confirm"])[: world.number(1, 2)]
    subject = [world.fill(world.choose(pool["subject"]), values)] if world.chance(0.5) else []
    sentences = [world.fill(each, values) for each in [*body, *confirm]]
    first, rest = sentences[0], [each[0].upper() + each[1:] for each in sentences[1:]]
    return "\n".join([*subject, opening, " ".join([first, *rest]), closing])


def _dialogue(world: World, parts: dict[str, Any]) -> str:
    """Return one or two exchanges about the same things."""
    speakers, values = world.choose(parts["speakers"]), {}
    exchanges = world.shuffled(parts["dialogue"])[: world.number(1, 2)]
    lines = [(number % 2, line) for exchange in exchanges for number, line in enumerate(exchange)]
    return "\n".join(f"{speakers[side]}: {world.fill(line, values)}" for side, line in lines)


def _notes(world: World, parts: dict[str, Any]) -> str:
    """Return notes about different things."""
    return "\n".join(world.fill(each) for each in world.shuffled(parts["note"])[: world.number(1, 3)])


def _description(world: World, parts: dict[str, Any]) -> str:
    """Return what a page of the shop says of a product."""
    values: dict[str, tuple[str, str]] = {}
    chosen = world.shuffled(parts["description"])[: world.number(3, 5)]
    return " ".join(world.fill(each, values) for each in chosen)


def _list(world: World, parts: dict[str, Any]) -> str:
    """Return a list, and some of its lines said once more."""
    chosen = world.choose(parts["lists"])
    entries: list[dict[str, tuple[str, str]]] = [{} for _ in range(world.number(3, 6))]
    lines = [world.fill(chosen["line"], entry) for entry in entries]
    again = [world.fill(chosen["again"], entry) for entry in world.shuffled(entries)[: world.number(1, 3)]]
    return "\n".join([world.fill(chosen["title"], entries[0]), *lines, *again])


def _records(world: World, parts: dict[str, Any]) -> str:
    """Return records of the stock and the vans as JSON lines; no sentence stands beside them."""
    return "\n".join(world.fill(each) for each in world.shuffled(parts["records"])[: world.number(2, 4)])


if __name__ == "__main__":
    main()
