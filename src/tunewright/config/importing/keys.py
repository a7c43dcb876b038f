"""The keys of a file: where each stands, and the rule that it falls under."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.config.importing.rules import Rule, Table

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
DEEPEST = 30
"""Levels of a file; aliases of YAML can hold themselves."""
MOST = 20_000
"""Keys of a file; aliases of YAML can multiply them without end."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the file that holds a value: a scalar, a list of scalars, or what its rule takes whole."""

    path: str
    """Its place, such as ``datasets[0].path``."""
    name: str
    """The same for every item of a list, as tables spell it: ``datasets[].path``."""
    value: Any
    beside: Mapping[str, Any]
    rule: Rule | None
    inherited: bool
    """Whether the rule is that of a key above it."""
    first: bool
    """Whether it stands in the first item of every list above it."""


def keys_of(values: Mapping[str, Any], table: Table, *, place: str) -> list[Key]:
    """Return every key that holds a value, each once, in the file's order.

    Raises:
        InputError: When there are too many, or they lie too deep.
    """
    found: list[Key] = []
    for key in _walk(Key("", "", values, {}, None, inherited=False, first=True), table, 0, place):
        found.append(key)
        if len(found) > MOST:
            raise InputError(f"holds over {MOST:,} keys", place=place, mend="name a configuration")
    return found


def _walk(key: Key, table: Table, depth: int, place: str) -> Iterator[Key]:
    if depth > DEEPEST:
        raise InputError(f"is nested over {DEEPEST} levels deep", place=place, mend="name a configuration")
    children = list(_below(key))
    if not children:
        yield key
    for path, name, value, beside, first in children:
        own = table.get(name)
        inherited = own is None
        rule = own or key.rule
        yield from _walk(Key(path, name, value, beside, rule, inherited, first), table, depth + 1, place)


def _below(key: Key) -> Iterator[tuple[str, str, Any, Mapping[str, Any], bool]]:
    if isinstance(key.value, Mapping):
        for word, value in key.value.items():
            dot = "." if key.path else ""
            if isinstance(word, str):
                said = word if PLAIN.fullmatch(word) else json.dumps(word, ensure_ascii=False)
                yield f"{key.path}{dot}{said}", f"{key.name}{dot}{said}", value, key.value, key.first
            else:
                yield f"{key.path}[{word!r}]", f"{key.name}[]", value, key.value, key.first
    elif isinstance(key.value, list) and any(isinstance(item, Mapping | list) for item in key.value):
        for position, item in enumerate(key.value):
            first = key.first and position == 0
            yield f"{key.path}[{position}]", f"{key.name}[]", item, key.beside, first
