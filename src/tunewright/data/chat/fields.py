"""The fields of a row, asked for by name: each is what it should be, or the row is refused with a reason."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence

from tunewright.data.chat.refusals import RowError
from tunewright.support.errors import nearest

MAX_DEPTH = 100
"""Levels of lists and objects within each other that a row may have; JSON's own functions fail near 1,000."""
INDEX = re.compile(r"\[\d+\]")
SHOWN = 40
"""Characters of a wrong value that a sentence shows."""
FLAGS = {"true": True, "false": False, "1": True, "0": False}
"""How tables without types write a yes and a no."""
KINDS = {
    "NoneType": "null",
    "bool": "a boolean",
    "int": "a number",
    "float": "a number",
    "str": "text",
    "list": "a list",
    "dict": "an object",
}


class Fields:
    """The fields of one object; those that nobody asks for are told by ``leave``.

    Args:
        value: What should be an object.
        place: Where it stands in its row, such as ``messages[2]``; empty for the row itself.
        unused: Takes the names of fields that nobody asked for.

    Raises:
        RowError: When it is no object.
    """

    def __init__(self, value: object, place: str = "", unused: set[str] | None = None) -> None:
        if not isinstance(value, Mapping):
            if not place:
                raise RowError("not_an_object", f"the row is {kind_of(value)} where an object is expected")
            raise RowError("wrong_type", f"'{place}' is {kind_of(value)} where an object is expected")
        self._value = value
        self._asked: set[str] = set()
        self.place = place
        self.unused = set() if unused is None else unused

    def path(self, name: str) -> str:
        """Return where a field stands in the row."""
        return f"{self.place}.{name}" if self.place else name

    def has(self, name: str) -> bool:
        """Tell whether a field is there and not null; asking so doesn't count as use."""
        return self._value.get(name) is not None

    def first_of(self, *names: str) -> str | None:
        """Return the first of some fields that is there."""
        return next((name for name in names if self.has(name)), None)

    def take(self, name: str) -> object:
        """Return a field whatever it is; nothing where it is absent or null."""
        self._asked.add(name)
        return self._value.get(name)

    def need(self, name: str) -> object:
        """Return a field whatever it is.

        Raises:
            RowError: When it is absent or null.
        """
        found = self.take(name)
        if found is None:
            state = "is null" if name in self._value else "is missing"
            raise RowError("missing_field", f"the field '{self.path(name)}' {state}")
        return found

    def text(self, name: str) -> str:
        """Return a field that holds text.

        Raises:
            RowError: When it is absent, no text, or nothing but white space.
        """
        return filled(as_text(self.need(name), self.path(name)), self.path(name))

    def text_or_nothing(self, name: str) -> str:
        """Return a field that may hold text; absent, null and white space are all an empty text.

        Raises:
            RowError: When it holds something else.
        """
        found = self.take(name)
        text = "" if found is None else as_text(found, self.path(name))
        return text if text.strip() else ""

    def items(self, name: str) -> Sequence[object]:
        """Return a field that holds a list, or JSON text of one.

        Raises:
            RowError: When it is absent or something else.
        """
        return as_list(self.need(name), self.path(name))

    def items_or_nothing(self, name: str) -> Sequence[object]:
        """Return a field that may hold a list; absent, null and white space are an empty one.

        Raises:
            RowError: When it holds something else.
        """
        found = self.take(name)
        if found is None or (isinstance(found, str) and not found.strip()):
            return ()
        return as_list(found, self.path(name))

    def flag(self, name: str) -> bool:
        """Return a field that holds a yes or a no.

        Raises:
            RowError: When it is absent or something else.
        """
        found = as_flag(self.need(name))
        if found is None:
            shown = short(self._value[name])
            raise RowError(
                "wrong_type", f"the field '{self.path(name)}' is {shown} where true or false is expected"
            )
        return found

    def leave(self) -> None:
        """Note the fields that nobody asked for."""
        prefix = INDEX.sub("[]", f"{self.place}.") if self.place else ""
        self.unused.update(
            prefix + str(name)
            for name, value in self._value.items()
            if name not in self._asked and value is not None
        )


def as_text(value: object, place: str) -> str:
    """Return a value that is text.

    Raises:
        RowError: When it isn't.
    """
    if not isinstance(value, str):
        raise RowError("wrong_type", f"the field '{place}' is {kind_of(value)} where text is expected")
    return value


def filled(text: str, place: str) -> str:
    """Return a text that says something.

    Raises:
        RowError: When it is empty or white space.
    """
    if not text.strip():
        raise RowError("empty_content", f"the field '{place}' is empty")
    return text


def as_list(value: object, place: str) -> Sequence[object]:
    """Return a list, be it one or JSON text of one.

    Raises:
        RowError: When it is neither.
    """
    found = from_json(value, place) if isinstance(value, str) else value
    if not isinstance(found, list | tuple):
        raise RowError("wrong_type", f"the field '{place}' is {kind_of(found)} where a list is expected")
    return found


def as_flag(value: object) -> bool | None:
    """Return a yes or a no, also as a number or a word; nothing for what is neither."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | str):
        return FLAGS.get(str(value).strip().lower())
    return None


def from_json(text: str, place: str) -> object:
    """Return what JSON text says.

    Raises:
        RowError: When it is no JSON, or what it says can't be kept.
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise _too_deep(place) from None
    except ValueError as error:
        why = str(error).splitlines()[0]
        raise RowError("not_json", f"the field '{place}' is text that is not JSON ({why})") from None
    check_sound(found, place)
    return found


def check_sound(value: object, place: str = "", *, finite: bool = False) -> None:
    """Refuse what can't be kept: broken characters, too many levels and, where asked, NaN and infinity.

    Raises:
        RowError: When there is such a thing in it.
    """
    where = f"the field '{place}'" if place else "the row"
    stack: list[tuple[object, int]] = [(value, 1)]
    while stack:
        each, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise _too_deep(place)
        if isinstance(each, str):
            if not each.isascii() and not _is_writable(each):
                raise RowError(
                    "undecodable", f"{where} holds bytes outside the encoding, or half a surrogate pair"
                )
        elif isinstance(each, float):
            if finite and not math.isfinite(each):
                raise RowError("not_finite", f"{where} holds {each}, which JSON can't write")
        else:
            stack.extend((inner, depth + 1) for inner in _inner(each))


def kind_of(value: object) -> str:
    """Say what a value is, in JSON's words."""
    return KINDS.get(type(value).__name__, f"a {type(value).__name__}")


def short(value: object) -> str:
    """Show a value, cut where it is long."""
    if not isinstance(value, str):
        return json.dumps(value) if isinstance(value, bool | int | float) else kind_of(value)
    return f"'{value}'" if len(value) <= SHOWN else f"'{value[:SHOWN]}…'"


def known_name(name: str, known: Mapping[str, object], place: str) -> str:
    """Return the role that a turn names.

    Raises:
        RowError: When there is no such role; the nearest is named.
    """
    if name not in known:
        hint = nearest(name[:SHOWN], list(known)) or f"one of {', '.join(known)} is expected"
        raise RowError("unknown_role", f"the field '{place}' is {short(name)}; {hint}")
    return name


def _inner(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        yield from value.keys()
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value


def _is_writable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _too_deep(place: str) -> RowError:
    where = f"the field '{place}'" if place else "the row"
    return RowError("nested_too_deeply", f"{where} has more than {MAX_DEPTH} levels of lists and objects")
