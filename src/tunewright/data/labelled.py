"""A batch of rows that people have labelled: JSON Lines, with a summary beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from tunewright.data.dataset import Facts
from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError


class LabelledRow(Facts):
    """One line of a batch."""

    text: str
    label: str
    id: str
    annotators: tuple[str, ...]
    """Who gave this label."""


class SetAsideLabel(Facts):
    """A label, or a row, that did not make it into a batch."""

    reason: str
    detail: str
    place: str = ""
    """File and row it came from; empty for a row that is in no file."""
    id: str | None = None
    text: str | None = None
    label: str | None = None
    annotator: str | None = None


def read_batch(path: Path) -> list[LabelledRow]:
    """Read a batch.

    Raises:
        InputError: When a line is none of ours.
    """
    with path.open(encoding="utf-8") as stream:
        return [_row(line, f"{path}:{number}") for number, line in enumerate(stream, start=1)]


def batch_lines(rows: Sequence[Facts]) -> str:
    """Write rows as JSON Lines."""
    return "".join(json.dumps(row.model_dump(mode="json"), ensure_ascii=False) + "\n" for row in rows)


def digest_batch(rows: Sequence[LabelledRow]) -> str:
    """Identify a batch: texts and labels, in order."""
    return digest_json([[row.id, row.text, row.label] for row in rows])


def _row(line: str, place: str) -> LabelledRow:
    try:
        return LabelledRow.model_validate_json(line)
    except ValidationError as error:
        raise InputError(
            "is no labelled row (text, label, id, annotators)",
            place=place,
            mend="move the file out of data/labelled, or import its labels again",
        ) from error
