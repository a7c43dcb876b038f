"""Parts of the rows on which a language model may fare otherwise: short prompts, one file, one kind of answer."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from tunewright.data.dataset import Facts
from tunewright.evaluation.intervals import Interval  # noqa: TC001 - pydantic reads it at run time
from tunewright.evaluation.language.compare import Standing, compare, intervals
from tunewright.evaluation.language.rules import parse
from tunewright.evaluation.slices import MAX_VALUES, by_length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.config.schema import EvaluationConfig
    from tunewright.evaluation.language.answers import Answer, Answers
    from tunewright.evaluation.language.figures import MetricName, Scored

FEW_VALUES = 10
"""A field of JSON references makes slices when it has at most this many values, and at least two."""
LEAST_ROWS = 5
"""Smaller parts say nothing."""
LONGEST_VALUE = 60


class LanguageSlice(Facts):
    """A part of the rows, by one figure."""

    name: str
    rows: int
    value: Interval
    """Of the subject."""
    others: dict[str, float]
    """The same figure of the other models, by name."""
    difference: Interval | None
    """Subject minus rival, paired; None without a rival."""
    standing: Standing | None
    """Of the subject beside the rival."""


def parts(answers: Answers, *, by_value: bool) -> dict[str, list[int]]:
    """Name parts of the rows that ask something, and say which rows each holds.

    Parts are quarters by the prompt's characters, files (when there are several), and, where ``by_value``, the values
    of top-level fields of JSON references that have few of them. Parts of fewer than ``LEAST_ROWS`` are left out.

    Returns:
        Positions in ``answers``, by name.
    """
    asked = [at for at, one in enumerate(answers.answers) if one.output is not None]
    rows = [answers.answers[at] for at in asked]
    named = {f"prompt {name}": list(mask) for name, mask in by_length([one.prompt for one in rows]).items()}
    files = Counter(one.source for one in rows)
    if len(files) > 1:
        named |= {
            f"file {name}": [one.source == name for one in rows] for name, _ in files.most_common(MAX_VALUES)
        }
    if by_value:
        named |= _by_field(rows)
    found = {
        name: [at for at, inside in zip(asked, mask, strict=True) if inside] for name, mask in named.items()
    }
    return {name: positions for name, positions in found.items() if len(positions) >= LEAST_ROWS}


def slices(
    subject: Scored,
    others: Sequence[Scored],
    rival: Scored | None,
    *,
    metric: MetricName,
    config: EvaluationConfig,
    seed: int,
) -> tuple[LanguageSlice, ...]:
    """Measure each part of the rows by one figure.

    Args:
        subject: The model that the report is about.
        others: The models beside it.
        rival: The one of them that it is held against.
        metric: The figure.
        config: Level of the intervals, and the number of resamples.
        seed: Makes them repeatable.
    """
    found = []
    for name, positions in parts(subject.answers, by_value=subject.rules.by_value).items():
        part = subject.take(positions)
        measured = intervals(part, config=config, seed=seed, metrics=[metric])
        if metric not in measured:
            continue
        keys = {one.key for one in part.answers.answers}
        beside = {other.answers.name: _within(other, keys).figure(metric) for other in others}
        against = None
        if rival is not None and beside.get(rival.answers.name) is not None:
            compared = compare(part, _within(rival, keys), config=config, seed=seed, metrics=[metric])
            against = compared.of(metric)
        found.append(
            LanguageSlice(
                name=name,
                rows=len(part),
                value=measured[metric],
                others={each: value for each, value in beside.items() if value is not None},
                difference=against.difference if against else None,
                standing=against.standing if against else None,
            )
        )
    return tuple(found)


def _within(model: Scored, keys: set[tuple[str, int]]) -> Scored:
    """Return a model's rows among some."""
    return model.take([at for at, one in enumerate(model.answers.answers) if one.key in keys])


def _by_field(rows: Sequence[Answer]) -> dict[str, list[bool]]:
    """Make a part of each value of each field that has few values."""
    values = [value if isinstance(value := parse(one.reference), dict) else {} for one in rows]
    names = Counter(name for value in values for name in value)
    found: dict[str, list[bool]] = {}
    for name in sorted(names):
        written = [_written(value[name]) if name in value else None for value in values]
        counts = Counter(one for one in written if one is not None)
        if 1 < len(counts) <= FEW_VALUES and max(map(len, counts)) <= LONGEST_VALUE:
            for each, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
                found[f"{name} {each}"] = [one == each for one in written]
    return found


def _written(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Write a value on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
