"""What a valid answer is, and when two answers are the same: as text, or by their JSON values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunewright.support.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from tunewright.config.language import GenerationConfig

PATTERN_SECONDS = 1.0
"""Time that the pattern may take on one answer; an answer that takes longer counts as invalid."""


class NotJson:
    """Stands for the value of a text that isn't JSON, where None is a value."""


NOT_JSON = NotJson()


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """What the recipe asks of an answer."""

    format: Literal["any", "json", "regex"] = "any"
    schema: dict[str, Any] | bool | None = None
    """JSON schema of a valid answer."""
    pattern: str | None = None
    """Regular expression that the whole answer matches."""

    @property
    def tells(self) -> bool:
        """Whether some answers are invalid."""
        return self.format == "json" or self.schema is not None or self.pattern is not None

    @property
    def by_value(self) -> bool:
        """Whether answers are compared as JSON."""
        return self.format == "json" or self.schema is not None

    def valid(self, text: str) -> bool:
        """Tell whether an answer is valid; white space around it doesn't count."""
        text = text.strip()
        if self.by_value:
            value = parse(text)
            if isinstance(value, NotJson) or not self._fits(value):
                return False
        return self.pattern is None or matches(self.pattern, text)

    def same(self, output: str, reference: str) -> bool:
        """Tell whether two answers are the same.

        As text, white space is normalised. By value, the order of keys and the way a number is written don't count
        (``1`` is ``1.0``, and isn't ``true``); a reference that isn't JSON is compared as text.
        """
        if self.by_value:
            right = parse(reference)
            if not isinstance(right, NotJson):
                return same_value(parse(output), right)
        return output.split() == reference.split()

    def _fits(self, value: object) -> bool:
        """Tell whether a value follows the schema."""
        if self.schema is None:
            return True
        from referencing.exceptions import Unresolvable

        try:
            return bool(_validator(self.schema).is_valid(value))
        except RecursionError:
            return False
        except Unresolvable as error:
            raise InputError(
                f"refers to '{error.ref}', which isn't in it", place="json_schema", mend="put it under $defs"
            ) from error


def rules(config: GenerationConfig, *, folder: Path | None = None) -> AnswerRules:
    """Read what the recipe asks of an answer.

    Args:
        config: Format, schema file and pattern.
        folder: What a relative path of the schema starts from; the working directory unless told.

    Raises:
        InputError: When the schema or the pattern can't be used, or the format lacks its pattern.
    """
    if config.answer_format == "regex" and config.pattern is None:
        raise InputError(
            "a regular expression is missing",
            place="evaluation.generation.answer_format=regex",
            mend="set evaluation.generation.pattern",
        )
    if config.pattern is not None:
        _check_pattern(config.pattern)
    schema = None if config.json_schema is None else _read_schema((folder or Path()) / config.json_schema)
    return AnswerRules(config.answer_format, schema, config.pattern)


def parse(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the JSON value of a text, ``NOT_JSON`` where it has none; NaN and Infinity are no JSON."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return NOT_JSON


def same_value(a: object, b: object) -> bool:
    """Tell whether two JSON values are equal; true is not 1, and 1 is 1.0."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_value(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_value, a, b))
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return a == b


def matches(pattern: str, text: str) -> bool:
    """Tell whether a text matches a pattern whole, within ``PATTERN_SECONDS``.

    The package ``regex`` runs it because, unlike ``re``, it can be stopped; it reads the same patterns.
    """
    regex = _regex()
    try:
        return regex.fullmatch(pattern, text, timeout=PATTERN_SECONDS) is not None
    except TimeoutError:
        return False


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _regex() -> Any:  # noqa: ANN401 - a module
    try:
        import regex
    except ImportError as error:
        raise MissingExtraError("a pattern of answers", "llm") from error
    return regex


def _check_pattern(pattern: str) -> None:
    regex = _regex()
    try:
        regex.compile(pattern)
    except regex.error as error:
        raise InputError(
            f"is no regular expression ({error})", place="evaluation.generation.pattern"
        ) from error


def _read_schema(path: Path) -> dict[str, Any] | bool:
    """Read a JSON schema and check it against the standard that it names."""
    try:
        schema: dict[str, Any] | bool = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"can't be read ({error.strerror or error})",
            place=str(path),
            mend="set evaluation.generation.json_schema to a file",
        ) from error
    except ValueError as error:
        raise InputError(f"is not JSON ({error})", place=str(path)) from error
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    if not isinstance(schema, dict | bool):
        raise InputError("is no JSON schema: neither an object nor true or false", place=str(path))
    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        raise InputError(f"is no JSON schema ({error.message})", place=str(path)) from error
    return schema


def _validator(schema: dict[str, Any] | bool) -> Any:  # noqa: ANN401 - a validator of any draft
    """Return what checks a value; it looks nothing up, least of all on the network."""
    try:
        from jsonschema.validators import validator_for
        from referencing import Registry
    except ImportError as error:
        raise MissingExtraError("a JSON schema of answers", "llm") from error
    return validator_for(schema)(schema, registry=Registry())
