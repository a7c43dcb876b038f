"""Write the conversations of the project template ``chat`` and the pairs of ``preference``.

    python tools/make_chat_data.py

The same files come out every time; a test compares them with those committed. Customers speak the sentences of
``tools/shop/mails.yaml``, the desk those of ``tools/shop/replies.yaml``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from shop.world import PROJECTS, SLOT, World, read

SEEDS = {"chat/conversations.jsonl": 5, "preference/pairs.jsonl": 6}
ROWS = 400
OPTIONAL_SHARE, SECOND_TURN_SHARE = 0.6, 0.4
KINDS = ("wordy", "curt", "evasive")
"""How a rejected answer is bad."""

Row = dict[str, list[dict[str, str]]]


def main() -> None:
    """Write both files."""
    for name, text in files().items():
        path = PROJECTS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def files() -> dict[str, str]:
    """Return the text of each file by its name."""
    make = dict(zip(SEEDS, (_conversation, _pair), strict=True))
    texts = {}
    for name, seed in SEEDS.items():
        rows = _distinct(World(seed), make[name])
        texts[name] = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return texts


def _distinct(world: World, make: Any) -> Iterator[Row]:  # noqa: ANN401
    """Give rows whose customers all say something else."""
    mails, replies = read("mails.yaml"), read("replies.yaml")
    given: set[str] = set()
    while len(given) < ROWS:
        topic = world.choose(list(replies["short"]))
        values: dict[str, tuple[str, str]] = {}
        asked = world.fill(world.shorten(world.choose(mails["topics"][topic]), OPTIONAL_SHARE), values)
        fitting = [
            each
            for each in replies["short"][topic]
            if all(slot[1] + slot[2] in values for slot in SLOT.finditer(each))
        ]
        if fitting and asked not in given:
            given.add(asked)
            yield make(world, replies, asked, world.fill(world.choose(fitting), values))


def _conversation(world: World, replies: dict[str, Any], asked: str, answer: str) -> Row:
    """Return a conversation of one or two rounds."""
    turns = [("system", world.choose(replies["system"])), ("user", asked), ("assistant", answer)]
    if world.chance(SECOND_TURN_SHARE):
        number = world.number(0, len(replies["again"]["ask"]) - 1)
        turns += [("user", replies["again"]["ask"][number]), ("assistant", _reply(replies, number))]
    return {"messages": [_turn(*each) for each in turns]}


def _pair(world: World, replies: dict[str, Any], asked: str, answer: str) -> Row:
    """Return a prompt with the short polite answer and a bad one."""
    bad = world.choose(replies[world.choose(KINDS)])
    return {
        "prompt": [_turn("system", replies["system"][0]), _turn("user", asked)],
        "chosen": [_turn("assistant", answer)],
        "rejected": [_turn("assistant", bad)],
    }


def _reply(replies: dict[str, Any], number: int) -> str:
    """Return the reply that belongs to a follow-up: both lists are in one order."""
    return str(replies["again"]["reply"][number])


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


if __name__ == "__main__":
    main()
