"""What the data card shows of a language model's rows: how many turns, what stands before them, a few as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from tunewright.data.chat.figures import has_system, has_tools, turns_of
from tunewright.data.chat.saying import call_text
from tunewright.data.chat.stored import rows_in
from tunewright.data.dataset import SPLITS

if TYPE_CHECKING:
    from tunewright.data.chat.rows import ChatRow, Message
    from tunewright.data.dataset import Dataset

EDGES = (1, 2, 3, 5, 9, 17, 33)
"""Where a bar of turns begins; the last has no end."""
EXAMPLES = 4
SHOWN_TURNS = 8
Side = Literal["learned", "avoided", ""]
"""Whether an answer is one to give, or not to give; what is only read is neither."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Rows with so many turns."""

    name: str
    rows: int
    share: float
    """Of the longest bar."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of an example."""

    role: str
    text: str
    side: Side


@dataclass(frozen=True, slots=True)
class Example:
    """A row of the train split."""

    row: int
    kind: str
    turns: tuple[Turn, ...]
    more: int
    """Turns that aren't shown."""


@dataclass(frozen=True, slots=True)
class Conversations:
    """What the card shows of them."""

    rows: int
    bars: tuple[Bar, ...]
    """Empty where no row has turns."""
    with_system: int
    with_tools: int
    examples: tuple[Example, ...]


def conversations_of(dataset: Dataset) -> Conversations:
    """Look at every row of a data set.

    Raises:
        InputError: When the data set is incomplete.
    """
    turns: Counter[int] = Counter()
    rows = system = tools = 0
    examples: list[Example] = []
    for split in SPLITS:
        for row in rows_in(dataset.root / split):
            rows += 1
            turns[turns_of(row)] += 1
            system += has_system(row)
            tools += has_tools(row)
            if split == "train" and len(examples) < EXAMPLES:
                examples.append(_example(row))
    return Conversations(rows, _bars(turns), system, tools, tuple(examples))


def _bars(turns: Counter[int]) -> tuple[Bar, ...]:
    """Count rows by how many turns they have."""
    last = EDGES[-1]
    spans = [
        (f"{low}" if high == low + 1 else f"{low}–{high - 1}", range(low, high))
        for low, high in pairwise(EDGES)
    ]
    counts = [(name, sum(turns[number] for number in span)) for name, span in spans]
    counts.append((f"{last} and more", sum(rows for number, rows in turns.items() if number >= last)))
    most = max(rows for _, rows in counts)
    return tuple(Bar(name, rows, rows / most) for name, rows in counts if rows)


def _example(row: ChatRow) -> Example:
    turns = tuple(_turns(row))
    return Example(row.row, row.kind, turns[:SHOWN_TURNS], max(0, len(turns) - SHOWN_TURNS))


def _turns(row: ChatRow) -> Iterator[Turn]:
    """Give what a row consists of, and what is to be learned from each piece."""
    yield from (
        _turn(each, each.role, "learned" if row.kind == "conversation" else "") for each in row.messages
    )
    judged = {True: "good", False: "bad", None: "chosen"}[row.good]
    side: Side = "avoided" if row.good is False else "learned"
    yield from (_turn(each, f"{judged} answer", side) for each in row.chosen)
    yield from (_turn(each, "rejected answer", "avoided") for each in row.rejected)
    for name, text in (("prompt", row.prompt), ("completion", row.completion), ("text", row.text)):
        if text:
            yield Turn(name, text, "" if name == "prompt" else "learned")


def _turn(message: Message, role: str, side: Side) -> Turn:
    """Return a turn; those of others than the assistant, and of weight 0, are only read."""
    text = "\n".join(part for part in (message.content, *map(call_text, message.tool_calls)) if part)
    return Turn(role, text, side if message.role == "assistant" and message.trained else "")
