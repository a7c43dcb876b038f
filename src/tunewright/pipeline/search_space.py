"""What a sweep varies: fields of the recipe, each with the values that it may take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.config.compose import compose

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe

Value = str | int | float | bool | None
SECTIONS = ("model", "training")
"""What a training reads; each is also the name of a group of options."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers between two ends, both included."""

    low: float
    high: float
    step: float | None = None
    """Distance of neighbours; ``None`` for every number in between."""
    log: bool = False
    whole: bool = False

    @property
    def size(self) -> float:
        """How many numbers these are."""
        if self.step is None:
            return self.high - self.low + 1 if self.whole else math.inf
        return round((self.high - self.low) / self.step) + 1

    def ends(self) -> tuple[Value, ...]:
        """Return the values that a bound would refuse first."""
        return (self.exact(self.low), self.exact(self.high))

    def listed(self) -> list[Value]:
        """Return every number of a finite set."""
        step = self.step or 1
        return [self.exact(self.low + position * step) for position in range(int(self.size))]

    def exact(self, value: float) -> int | float:
        """Return a number in the field's own type."""
        return int(value) if self.whole else float(value)

    def describe(self) -> str:
        """Say it in a few words."""
        words = f"{self.exact(self.low):g} to {self.exact(self.high):g}"
        words += f" in steps of {self.step:g}" if self.step is not None else ""
        return words + (", log scale" if self.log else "")


@dataclass(frozen=True, slots=True)
class Choices:
    """A few values without an order."""

    values: tuple[Value, ...]

    @property
    def size(self) -> float:
        """How many values these are."""
        return len(self.values)

    def ends(self) -> tuple[Value, ...]:
        """Return every value."""
        return self.values

    def listed(self) -> list[Value]:
        """Return every value."""
        return list(self.values)

    def describe(self) -> str:
        """Say it in a few words."""
        return ", ".join(written(value) for value in self.values)


@dataclass(frozen=True, slots=True)
class Dimension:
    """One field, or one group of options, and the values that it may take."""

    key: str
    domain: Numbers | Choices


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """All that varies, and the overrides that hold for every trial."""

    dimensions: tuple[Dimension, ...]
    fixed: tuple[str, ...] = ()

    @property
    def size(self) -> float:
        """How many points it has; infinite with a continuous field."""
        return math.prod(each.domain.size for each in self.dimensions)

    def words(self, values: dict[str, Value]) -> list[str]:
        """Return the overrides for one point: groups first, as their fields may be overridden."""
        keys = sorted((each.key for each in self.dimensions), key=lambda key: "." in key)
        return [f"{key}={written(values[key])}" for key in keys]

    def check(self, configs: Path) -> list[Recipe]:
        """Compose a recipe at each end of each field, so that no trial fails for what could be seen at once.

        Returns:
            Those recipes, the first of all first.

        Raises:
            InputError: Naming the first field whose values the recipe refuses.
        """
        first = {each.key: each.domain.ends()[0] for each in self.dimensions}
        points = [first] + [
            {**first, each.key: value} for each in self.dimensions for value in each.domain.ends()[1:]
        ]
        return [compose([*self.fixed, *self.words(point)], configs=configs) for point in points]


def written(value: Value) -> str:
    """Write a value as an override has it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
