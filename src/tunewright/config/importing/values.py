"""Conversions of single values; each takes what YAML, JSON and people make of a number, a switch or a list."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tunewright.config.importing.rules import Aside, Convert, Given, UnfitError

TRUE = ("true", "yes", "on")
FALSE = ("false", "no", "off")


def as_number(
    value: Any,  # noqa: ANN401
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> float:
    """Read a finite number; text such as ``2e-4``, which YAML 1.1 doesn't read as one, counts.

    Raises:
        UnfitError: When it is none, or out of bounds.
    """
    words = [f"{word} {bound:g}" for word, bound in (("from", least), ("above", above)) if bound is not None]
    expected = " ".join(["a number", *words, *([f"to {most:g}"] if most is not None else [])])
    try:
        read = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        read = math.nan
    fits = (
        math.isfinite(read)
        and (least is None or read >= least)
        and (above is None or read > above)
        and (most is None or read <= most)
    )
    if not fits:
        raise UnfitError(expected)
    return read


def as_whole(value: Any, *, least: int = 1, most: int | None = None) -> int:  # noqa: ANN401
    """Read a whole number, also from ``8.0`` and ``"8"``.

    Raises:
        UnfitError: When it is none, or out of bounds.
    """
    expected = f"a whole number from {least}" + ("" if most is None else f" to {most}")
    try:
        read = value if type(value) is int else as_number(value)
        if read != int(read) or read < least or (most is not None and read > most):
            raise UnfitError(expected)
    except UnfitError:
        raise UnfitError(expected) from None
    return int(read)


def as_flag(value: Any) -> bool:  # noqa: ANN401
    """Read a switch.

    Raises:
        UnfitError: When it is neither on nor off.
    """
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word in (*TRUE, "1"):
        return True
    if word in (*FALSE, "0"):
        return False
    raise UnfitError("true or false")


def as_names(value: Any) -> list[str]:  # noqa: ANN401
    """Read a list of names, also from text with commas.

    Raises:
        UnfitError: When it is neither, or holds what is no name.
    """
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise UnfitError("a list of names")
    return [item.strip() for item in items if item.strip()]


def as_text(value: Any) -> str:  # noqa: ANN401
    """Read text that isn't empty.

    Raises:
        UnfitError: When it is empty or no text.
    """
    if not isinstance(value, str) or not value.strip():
        raise UnfitError("text")
    return value.strip()


def number(*, least: float | None = None, above: float | None = None, most: float | None = None) -> Convert:
    """Take a number within bounds."""
    return lambda value, _given: as_number(value, least=least, above=above, most=most)


def whole(*, least: int = 1, most: int | None = None) -> Convert:
    """Take a whole number within bounds."""
    return lambda value, _given: as_whole(value, least=least, most=most)


def flag(value: Any, _given: Given) -> bool:  # noqa: ANN401
    """Take a switch."""
    return as_flag(value)


def text(value: Any, _given: Given) -> str:  # noqa: ANN401
    """Take text."""
    return as_text(value)


def on_off(value: Any, _given: Given) -> str:  # noqa: ANN401
    """Take a switch as ``on`` or ``off``."""
    return "on" if as_flag(value) else "off"


def whole_or_aside(aside: Aside, *, least: int = 1) -> Convert:
    """Take a whole number; set anything else that is a number aside."""

    def convert(value: Any, _given: Given) -> Any:  # noqa: ANN401
        read = as_number(value)
        return int(read) if read == int(read) and read >= least else aside

    return convert


def choice(known: Mapping[str, Any], *, others: Aside | None = None) -> Convert:
    """Take one of several words, whatever their case.

    Args:
        known: What each word stands for: a value, ``Sets`` or ``Aside``.
        others: What becomes of any other word; without it, other words are refused.
    """

    def convert(value: Any, _given: Given) -> Any:  # noqa: ANN401
        word = value.strip().lower() if isinstance(value, str) else ""
        if word in known:
            return known[word]
        if not word or others is None:
            raise UnfitError(f"one of {', '.join(known)}")
        return others

    return convert


def fixed(known: tuple[str, ...], note: str) -> Convert:
    """Say whether a name is one that tunewright reads anyway."""

    def convert(value: Any, _given: Given) -> Aside:  # noqa: ANN401
        if as_text(value) in known:
            return Aside("default", "tunewright reads it so")
        return Aside("unsupported", note)

    return convert


def target_modules(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take the layers that adapters go on; every way of saying "all linear ones" is null in a recipe."""
    names = as_names(value)
    if not names or names in (["all"], ["all-linear"], ["all_linear"]):
        return None
    if any(set("^$*+?()[]|\\") & set(name) for name in names):
        return Aside(
            "unsupported", "is a regular expression: list the layers' names in training.lora.target_modules"
        )
    return names
