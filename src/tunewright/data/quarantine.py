"""The quarantine file: every row that was set aside, with its number, its reason and what it said."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from tunewright.data.dataset import Facts
from tunewright.support.errors import TunewrightError
from tunewright.support.files import writing

LONGEST_TEXT = 500
"""Characters of a text that the quarantine file shows."""
EXAMPLES = 3
"""Rows kept as examples of each reason."""


class QuarantinedRow(Facts):
    """One line of the quarantine file."""

    row: int
    """Row number in the source, from 1; 0 where it isn't known."""
    source: str = ""
    reason: str
    detail: str = ""
    text: str | None = None
    label: str | None = None


def write_quarantine(
    path: Path, rejected: Iterable[QuarantinedRow], judged: Iterable[QuarantinedRow]
) -> tuple[dict[str, int], dict[str, tuple[QuarantinedRow, ...]]]:
    """Write the rows that could not be read and those that were judged bad, by row number.

    Args:
        path: The JSONL file; it is replaced as a whole.
        rejected: Rows that ingest could not parse, sorted by row.
        judged: Rows that validation set aside, sorted by row.

    Returns:
        Rows by reason, commonest first, and a few examples of each.

    Raises:
        TunewrightError: When the file can't be written.
    """
    counts: Counter[str] = Counter()
    examples: dict[str, tuple[QuarantinedRow, ...]] = {}
    try:
        with writing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
            for entry in heapq.merge(rejected, judged, key=lambda item: item.row):
                stream.write(json.dumps(entry.model_dump(), ensure_ascii=False) + "\n")
                counts[entry.reason] += 1
                known = examples.get(entry.reason, ())
                examples[entry.reason] = (*known, entry)[:EXAMPLES]
    except OSError as error:
        raise TunewrightError(
            f"can't be written ({error.strerror or error})",
            place=str(path),
            mend="free some space or give write permission, then run again",
        ) from error
    return dict(counts.most_common()), examples


def read_rejected(source: Path) -> list[QuarantinedRow]:
    """Return the rows that ingest could not parse (``rejected.jsonl``), sorted by row.

    Raises:
        TunewrightError: When the file is damaged.
    """
    path = source / "rejected.jsonl"
    if not path.exists():
        return []
    return sorted(_entries(path), key=lambda entry: entry.row)


def read_quarantine(path: Path) -> Iterator[QuarantinedRow]:
    """Give the rows of a quarantine file, one at a time.

    Raises:
        TunewrightError: When the file is damaged.
    """
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                entry = QuarantinedRow.model_validate_json(line)
            except ValidationError as error:
                raise TunewrightError(
                    "is not a quarantined row as validation writes it",
                    place=f"{path}:{number}",
                    mend="run `tunewright run --from validate --force`",
                ) from error
            yield entry


def shortened(text: object) -> str | None:
    """Return a text cut to what the quarantine file shows."""
    if text is None:
        return None
    whole = str(text).encode("utf-8", "replace").decode("utf-8")
    return whole if len(whole) <= LONGEST_TEXT else whole[: LONGEST_TEXT - 1] + "…"


def _entries(path: Path) -> Iterator[QuarantinedRow]:
    """Give the entries of a file of rejected rows; a field that is null or too much is left out."""
    fields = QuarantinedRow.model_fields
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                facts = {name: value for name, value in json.loads(line).items() if name in fields}
                known = {name: value for name, value in facts.items() if value is not None}
                entry = QuarantinedRow.model_validate({"row": 0, **known})
            except (AttributeError, ValueError, ValidationError) as error:
                raise TunewrightError(
                    "is not a rejected row as ingest writes it",
                    place=f"{path}:{number}",
                    mend="run `tunewright run --from ingest --force`",
                ) from error
            yield entry.model_copy(update={"text": shortened(entry.text)})
