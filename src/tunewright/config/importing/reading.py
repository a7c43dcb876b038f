"""Read another tool's YAML or JSON file; nothing that it says may get lost on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunewright.support.errors import InputError

LARGEST = 1_000_000
"""Bytes of a file; a configuration has a few thousand."""


def read_mapping(file: Path) -> dict[str, Any]:
    """Read a file that holds one mapping: JSON where its name ends so, else YAML 1.1, as these tools read it.

    A key that stands twice is refused, since parsers keep one of the two in silence.

    Raises:
        InputError: When it is absent, no such file, or not a mapping.
    """
    place = str(file)
    if not file.is_file():
        mend = "name a file in it" if file.is_dir() else "check the name"
        raise InputError("is a folder" if file.is_dir() else "no such file", place=place, mend=mend)
    if file.stat().st_size > LARGEST:
        raise InputError(f"has over {LARGEST:,} bytes", place=place, mend="name a configuration, not data")
    try:
        content = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8 text", place=place, mend="save it as UTF-8") from error
    values = _json(content, place) if file.suffix.lower() == ".json" else _yaml(content, place)
    if not isinstance(values, Mapping) or not values:
        raise InputError("holds no keys", place=place, mend="name a file with keys and values")
    return dict(values)


def _json(content: str, place: str) -> Any:  # noqa: ANN401
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in pairs:
            if key in made:
                raise InputError(f"the key '{key}' stands twice", place=place, mend="remove one of them")
            made[key] = value
        return made

    try:
        return json.loads(content, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({_first(error)})", place=place, mend="correct the file") from error


def _yaml(content: str, place: str) -> Any:  # noqa: ANN401
    import warnings

    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MantissaNoDotYAML1_1Warning, MarkedYAMLError, YAMLError

    parser = YAML(typ="safe", pure=True)
    parser.version = (1, 1)
    try:
        with warnings.catch_warnings():  # of numbers such as 2e-4, which these tools take all the same
            warnings.simplefilter("ignore", MantissaNoDotYAML1_1Warning)
            return parser.load(content)
    except DuplicateKeyError as error:
        line = "" if error.problem_mark is None else f" (line {error.problem_mark.line + 1})"
        raise InputError(f"a key stands twice{line}", place=place, mend="remove one of them") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f", line {mark.line + 1}"
        fact = f"is not plain YAML ({error.problem or 'broken'}{line})"
        raise InputError(fact, place=place, mend="correct the file") from error
    except (YAMLError, ValueError, RecursionError, TypeError) as error:
        raise InputError(f"is not YAML ({_first(error)})", place=place, mend="correct the file") from error


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
