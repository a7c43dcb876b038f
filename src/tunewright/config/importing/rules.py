"""What a table of another tool's keys is made of: one rule a key, and what a rule's conversion may answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Given:
    """What a conversion may look at beside its value."""

    file: Path
    values: Mapping[str, Any]
    """The whole file."""
    objective: str
    """What is trained, where no single key of the file says it; else empty."""
    beside: Mapping[str, Any]
    """The mapping that holds the key: for ``datasets[0].path`` the first data set."""

    def says(self, key: str) -> bool:
        """Tell whether the file holds a top-level key that is neither null nor off."""
        return self.values.get(key) not in (None, False, "", "false", "False")


@dataclass(frozen=True, slots=True)
class Sets:
    """Several keys of the recipe that one key gives, or one with a note."""

    values: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Aside:
    """This value gives nothing to the recipe, and why."""

    outcome: Literal["default", "not_needed", "unsupported"]
    note: str


class UnfitError(Exception):
    """A value that the key can't have.

    Args:
        expected: What it may be, as a noun: ``a number above 0``.
        mend: What to do instead, as an imperative clause.
    """

    def __init__(self, expected: str, mend: str = "correct the value, or remove the key") -> None:
        self.expected = expected
        self.mend = mend
        super().__init__(expected)


Convert = Callable[[Any, Given], Any]
"""Turns a value that isn't null into the target's value, ``Sets`` or ``Aside``; raises ``UnfitError``."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of a key, and of all keys below it that have no rule of their own."""

    outcome: Literal["taken", "not_needed", "unsupported"]
    note: str = ""
    target: str = ""
    """Dotted key of the recipe that a taken value goes to."""
    convert: Convert | None = None
    same: tuple[Any, ...] = ()
    """Values of an unsupported key that say what tunewright does anyway."""
    below: str = ""
    """Why keys below a taken one are not needed."""


Table = Mapping[str, Rule]
"""Rules by key; ``a.b`` lies below ``a``, and ``a[].b`` in each item of a list ``a``."""


def take(target: str, convert: Convert, note: str = "", *, below: str = "") -> Rule:
    """Take a value into the recipe."""
    return Rule("taken", note, target, convert, below=below)


def judge(convert: Convert, *, below: str = "") -> Rule:
    """Let a conversion that always answers ``Sets`` or ``Aside`` decide."""
    return Rule("taken", convert=convert, below=below)


def not_needed(note: str, keys: str) -> dict[str, Rule]:
    """Say of keys, parted by white space, that tunewright sees to them itself."""
    return {key: Rule("not_needed", note) for key in keys.split()}


def unsupported(note: str, keys: str | Mapping[str, Any]) -> dict[str, Rule]:
    """Say of keys that they have no counterpart, and what to do.

    Args:
        note: What to do, in one clause.
        keys: Names, parted by white space; or names with the value that says what tunewright does anyway.
    """
    if isinstance(keys, str):
        return {key: Rule("unsupported", note) for key in keys.split()}
    return {key: Rule("unsupported", note, same=(value,)) for key, value in keys.items()}


def joined(*parts: Table) -> Table:
    """Join tables that share no key.

    Raises:
        ValueError: When two have the same key: one rule would silently hide the other.
    """
    made: dict[str, Rule] = {}
    for part in parts:
        if twice := made.keys() & part.keys():
            raise ValueError(f"two rules for {', '.join(sorted(twice))}")
        made.update(part)
    return made


@dataclass(frozen=True, slots=True)
class Default:
    """What the other tool does where the file says nothing."""

    keys: tuple[str, ...]
    """Any of these in the file says something."""
    target: str
    value: Any
    """A value, or a function of the file's values and the objective; ``None`` from it assumes nothing."""
    note: str = ""

    def of(self, values: Mapping[str, Any], objective: str) -> Any:  # noqa: ANN401
        """Return the value, or ``None`` where the file says something itself."""
        if any(values.get(key) is not None for key in self.keys):
            return None
        return self.value(values, objective) if callable(self.value) else self.value


@dataclass(frozen=True, slots=True)
class Tool:
    """Another tool's configuration."""

    name: str
    """As people write it."""
    table: Table
    defaults: tuple[Default, ...]
    notes: tuple[str, ...]
    objective: Callable[[Mapping[str, Any], Path], str | None] = lambda _values, _file: None
    """Finds the objective where no single key says it; raises ``InputError`` where nothing does."""
