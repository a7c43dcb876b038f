"""The small world of the bundled texts: values for the slots of hand-written patterns, drawn from a seed.

Everything is drawn with ``Random.random`` alone, whose sequence Python promises to keep, so that a file made again is
the same to the byte.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from string import ascii_uppercase
from typing import Any, TypeVar

import yaml

HERE = Path(__file__).resolve().parent
PROJECTS = HERE.parents[1] / "src" / "tunewright" / "templates" / "projects"
YEARS = (2025, 2026)
PLAIN_SHARE = 0.25
"""Products without a word before them."""
RELATIVE_SHARE = 0.25
"""Days that are named from today, such as "yesterday" or "next Monday"."""
OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
SLOT = re.compile(r"\{([a-z]+)(\d*)\}")
ARTICLE = re.compile(r"\b([Aa])(?= [aeiou])")
"""Before a product that begins with a vowel."""
T = TypeVar("T")


def read(name: str) -> Any:  # noqa: ANN401
    """Return one of the YAML files beside this one."""
    return yaml.safe_load((HERE / name).read_text(encoding="utf-8"))


class World:
    """Draws values; an order id never comes twice from one world, nor does a day where ``distinct_days`` says so."""

    def __init__(self, seed: int, *, distinct_days: bool = False, taken: Iterable[str] = ()) -> None:
        self.random = Random(seed)  # noqa: S311  (texts, no secrets)
        self.words = read("words.yaml")
        self.things: list[str] = self.words["things"]
        self.distinct_days = distinct_days
        self._given = set(taken)

    def chance(self, share: float) -> bool:
        """Tell whether something with this probability happens."""
        return self.random.random() < share

    def number(self, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``."""
        return low + int(self.random.random() * (high - low + 1))

    def choose(self, options: Sequence[T]) -> T:
        """Return one of them."""
        return options[self.number(0, len(options) - 1)]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return them in another order."""
        return sorted(items, key=lambda _: self.random.random())

    def order_id(self) -> str:
        """Return an id such as ``4471-A`` or ``TW-58213``, new every time."""
        return self._fresh(
            lambda: (
                f"{self.number(1000, 9999)}-{self.choose(ascii_uppercase)}"
                if self.chance(0.5)
                else f"TW-{self.number(10000, 99999)}"
            )
        )

    def calendar_day(self) -> str:
        """Return a day of the calendar in one of nine forms."""
        return self._fresh(self._calendar_day) if self.distinct_days else self._calendar_day()

    def product(self) -> str:
        """Return a product, mostly with a word before it."""
        thing = self.choose(self.things)
        return thing if self.chance(PLAIN_SHARE) else f"{self.choose(self.words['qualities'])} {thing}"

    def past(self) -> tuple[str, str]:
        """Return a day past: how it is said, and the day alone."""
        if self.chance(RELATIVE_SHARE):
            said = self.choose(
                [*self.words["relative_past"], *(f"last {day}" for day in self.words["weekdays"])]
            )
            return said, said
        day = self.calendar_day()
        return f"on {day}", day

    def to_come(self) -> str:
        """Return a day to come that "on" may stand before."""
        if not self.chance(RELATIVE_SHARE):
            return self.calendar_day()
        day = self.choose(self.words["weekdays"])
        return day if self.chance(0.5) else f"next {day}"

    def deadline(self) -> tuple[str, str]:
        """Return a day to come as a deadline: how it is said, and the day alone."""
        day = (
            self.choose(self.words["relative_future"]) if self.chance(RELATIVE_SHARE / 2) else self.to_come()
        )
        return f"{self.choose(('by', 'before'))} {day}", day

    def price(self) -> str:
        """Return an amount of money."""
        return f"£{self.number(3, 299)}" + (f".{self.number(1, 99):02d}" if self.chance(0.5) else "")

    def value(self, slot: str) -> tuple[str, str]:
        """Return what stands in a slot, and the value that it names."""
        if slot == "on":
            return self.past()
        if slot == "by":
            return self.deadline()
        drawn = {
            "id": self.order_id,
            "product": self.product,
            "day": self.to_come,
            "onday": self.calendar_day,
            "year": lambda: str(self.number(1998, 2024)),
            "date": self.calendar_day,
            "price": self.price,
            "count": lambda: str(self.number(2, 19)),
            "minutes": lambda: str(self.number(10, 90)),
            "phone": lambda: f"0{self.number(100, 999)} {self.number(100, 999)} {self.number(1000, 9999)}",
            "code": lambda: "".join(
                self.choose(ascii_uppercase + "23456789") for _ in range(self.number(5, 10))
            ),
            "shelf": lambda: f"{self.choose(ascii_uppercase[:8])}{self.number(1, 40)}",
            "name": lambda: self.choose(self.words["names"]),
            "family": lambda: self.choose(self.words["families"]),
            "town": lambda: self.choose(self.words["towns"]),
            "material": lambda: self.choose(self.words["materials"]),
            "quality": lambda: self.choose(self.words["qualities"]),
        }[slot]()
        return drawn, drawn

    def shorten(self, pattern: str, share: float) -> str:
        """Keep each part in [brackets] with this probability."""
        return OPTIONAL.sub(lambda part: part[1] if self.chance(share) else "", pattern)

    def fill(self, pattern: str, values: dict[str, tuple[str, str]] | None = None) -> str:
        """Fill the slots; ``values`` remembers what was drawn, by slot, and gives it again."""
        known = {} if values is None else values

        def said(found: re.Match[str]) -> str:
            name = found[1] + found[2]
            if name not in known:
                known[name] = self.value(found[1])
            return known[name][0]

        return ARTICLE.sub(r"\1n", SLOT.sub(said, pattern))

    def _fresh(self, draw: Any) -> str:  # noqa: ANN401
        while (found := draw()) in self._given:
            pass
        self._given.add(found)
        return str(found)

    def _calendar_day(self) -> str:
        year, month = self.choose(YEARS), self.number(1, 12)
        day = self.number(1, monthrange(year, month)[1])
        name = self.words["months"][month - 1]
        return self.choose(
            (
                f"{day} {name}",
                f"{name} {day}",
                f"the {ordinal(day)} of {name}",
                f"{day} {name[:3]}",
                f"{day} {name} {year}",
                f"{name} {day}, {year}",
                f"{year}-{month:02d}-{day:02d}",
                f"{day:02d}/{month:02d}/{year}",
                f"{day}.{month}.{year}",
            )
        )


def ordinal(day: int) -> str:
    """Return ``1st``, ``22nd``, ``13th`` …."""
    teens = range(11, 14)
    return f"{day}{'th' if day in teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"
