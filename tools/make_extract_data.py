"""Write the customer messages of the project template ``extract``: hand-written patterns, filled and roughened.

    python tools/make_extract_data.py

The same files come out every time; a test compares them with those committed. ``messages.jsonl`` has the seen patterns
of ``tools/shop/messages.yaml``, ``unseen.jsonl`` the others, with greetings of their own and products that
``messages.jsonl`` never names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shop.world import PROJECTS, SLOT, World, read

FOLDER = PROJECTS / "extract"
SEEDS = {"seen": 1, "unseen": 2}
FILES = {"seen": "messages.jsonl", "unseen": "unseen.jsonl"}
ROWS_A_PATTERN = 11
OPTIONAL_SHARE = 0.6
TYPO_SHARE, LOWER_SHARE, LINE_SHARE = 0.1, 0.06, 0.15
"""Messages with a typo or two, all in small letters, with line breaks around the middle part."""
UNSEEN_THINGS_SHARE = 0.3
FIELDS = {"order_id": ("id",), "product": ("product",), "date": ("on", "by", "day")}
"""The answer's fields, and the slots that they are read from."""
TYPO_WORD = re.compile(r"(?<![{\w'])[A-Za-z]{5,}(?![}\w'])")


def main() -> None:
    """Write both files."""
    for name, text in files().items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def files() -> dict[str, str]:
    """Return the text of each file by its name."""
    patterns = read("messages.yaml")
    greetings = {part: patterns.pop(part) for part in ("openers", "closers")}
    found: dict[str, str] = {}
    taken: set[str] = set()
    for kind in ("seen", "unseen"):
        world = World(SEEDS[kind], distinct_days=True, taken=taken)
        rows = world.shuffled(list(_rows(world, kind, patterns, greetings)))
        taken |= {str(answer[name]) for _, answer in rows for name in ("order_id", "date") if answer[name]}
        found[FILES[kind]] = "".join(_line(message, answer) for message, answer in rows)
    return found


def _rows(
    world: World, kind: str, patterns: Mapping[str, Any], greetings: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Give messages with their answers, each message once."""
    given: set[str] = set()
    things = world.things
    for intent, lists in patterns.items():
        for pattern in lists[kind]:
            for _ in range(ROWS_A_PATTERN):
                is_new = kind == "unseen" and world.chance(UNSEEN_THINGS_SHARE)
                world.things = world.words["unseen_things"] if is_new else things
                message, values = _message(
                    world, pattern, greetings["openers"][kind], greetings["closers"][kind]
                )
                if message not in given:
                    given.add(message)
                    yield message, {"intent": intent, **values}


def _message(
    world: World, pattern: str, openers: Sequence[str], closers: Sequence[str]
) -> tuple[str, dict[str, str | None]]:
    """Fill a pattern, greet, and roughen; the values are those that the message holds, as it writes them."""
    drawn: dict[str, tuple[str, str]] = {}
    middle = _roughened(world, world.shorten(pattern.strip(), OPTIONAL_SHARE))
    gap = "\n" if world.chance(LINE_SHARE) else " "
    parts = (world.fill(world.choose(openers)), world.fill(middle, drawn), world.fill(world.choose(closers)))
    message = gap.join(part.replace("..", ".") for part in parts if part)
    values = {
        name: next((drawn[slot][1] for slot in slots if slot in drawn), None)
        for name, slots in FIELDS.items()
    }
    if world.chance(LOWER_SHARE):
        message = message.lower()
        values = {name: value and value.lower() for name, value in values.items()}
    return message, values


def _roughened(world: World, pattern: str) -> str:
    """Put a typo into one or two longer words beside the slots, in some messages."""
    if not world.chance(TYPO_SHARE):
        return pattern
    for _ in range(world.number(1, 2)):
        words = list(TYPO_WORD.finditer(SLOT.sub(lambda slot: "_" * len(slot[0]), pattern)))
        if words:
            word = world.choose(words)
            pattern = pattern[: word.start()] + _misspelt(world, word[0]) + pattern[word.end() :]
    return pattern


def _misspelt(world: World, word: str) -> str:
    """Leave a letter out, write it twice, or swap it with the next."""
    at = world.number(1, len(word) - 3)
    return word[:at] + world.choose(
        (word[at + 1 :], word[at] + word[at:], word[at + 1] + word[at] + word[at + 2 :])
    )


def _line(message: str, answer: Mapping[str, str | None]) -> str:
    turns = [
        {"role": "user", "content": message},
        {"role": "assistant", "content": json.dumps(answer, ensure_ascii=False)},
    ]
    return json.dumps({"messages": turns}, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
