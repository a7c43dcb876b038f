"""The first step: a source of any kind becomes parquet shards, a list of rejected rows, and facts about both."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tunewright.data.additions import source_of
from tunewright.data.cells import Positions, Row, as_row
from tunewright.data.dataset import Facts, SourceFacts
from tunewright.data.distinct import Distinct
from tunewright.data.labelled import read_batch
from tunewright.data.oddities import notes_of, survey
from tunewright.data.parts import writing_parts
from tunewright.data.rows import Malformed, Rows, Tally
from tunewright.data.sources import Plan, plan
from tunewright.support.errors import InputError
from tunewright.support.files import write_json

if TYPE_CHECKING:
    import pyarrow as pa

    from tunewright.config.data import DataConfig
    from tunewright.data.columns import Incoming
    from tunewright.data.shards import ShardWriter

REJECTED = "rejected.jsonl"
SUMMARY = "source.json"
TEXT_KIND = "text_kind"
"""Column that says what a text was before it became one; only sources with types have it, cleaning drops it."""
RESERVED = frozenset({"row", "source", "text", "label", "digest", "group", "text_group", TEXT_KIND})
"""Columns of the shards; a further column of the source with such a name gets ``_in_source`` after it."""
TYPED_FORMATS = frozenset({"json", "jsonl", "parquet", "hub"})
DIGEST_CHARACTERS = 16
MAX_LABELS = 10_000
"""More distinct labels than this mean that the label column is not one."""


class IngestSummary(Facts):
    """What was read; ``source.json`` holds it."""

    facts: SourceFacts
    rows: int
    """Rows in the shards; those that could not be read are counted in ``rejected`` alone."""
    unique: int
    """Distinct texts as they were read."""
    labels: dict[str, int]
    """Rows by label, in order of first appearance; rows without one are left out."""
    rejected: dict[str, int]
    """Rows that could not be read, by reason."""


@dataclass(slots=True)
class _Counts:
    """What is counted while rows stream by."""

    tally: Tally = field(default_factory=Tally)
    rows: int = 0
    texts: int = 0
    distinct: Distinct = field(default_factory=Distinct)
    labels: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)


def ingest(
    config: DataConfig,
    *,
    base_dir: Path,
    out: Path,
    additions: Sequence[Path] = (),
    incoming: Incoming | None = None,
) -> IngestSummary:
    """Read a source into parquet shards, in memory that doesn't grow with it.

    ``out`` gets ``part-*.parquet`` (``row``, ``source``, ``text``, ``label``, ``digest``, then the further
    columns of the source as strings), ``rejected.jsonl`` and ``source.json``, all or nothing.

    Args:
        config: The source and how to read it.
        base_dir: The folder that relative paths start from.
        out: The folder to write; what it held is replaced.
        additions: Labelled batches (see ``tunewright.data.additions``) that are read after the source.
        incoming: Given where the source holds texts to be answered: a label, or the column, may be absent.

    Returns:
        What was read.

    Raises:
        InputError: When the source can't be found or read, or holds no usable row.
        MissingExtraError: When its store needs a package that is not installed.
        TunewrightError: When ``out`` can't be written.
    """
    how = plan(config, base_dir=base_dir, incoming=incoming)
    counts = _Counts()
    with writing_parts(out) as folder:
        _write(how, config, folder, counts, additions)
        summary = _summary(how, counts)
        write_json(folder / SUMMARY, summary.model_dump(mode="json"))
    return summary


def read_summary(folder: Path) -> IngestSummary:
    """Read back what ``ingest`` said about the source of a folder.

    Raises:
        InputError: When there is none.
    """
    from tunewright.support.files import read_json

    return IngestSummary.model_validate(read_json(folder / SUMMARY))


def _write(how: Plan, config: DataConfig, folder: Path, counts: _Counts, additions: Sequence[Path]) -> None:
    """Stream every part of the source, then the additions, into shards and rejected rows."""
    from tunewright.data.shards import ShardWriter

    typed = how.facts.format in TYPED_FORMATS
    positions, names = _positions(how)
    with (
        (folder / REJECTED).open("w", encoding="utf-8") as rejected,
        ShardWriter(folder, _schema(names, typed=typed), shard_rows=config.shard_rows) as shards,
    ):
        for name, rows in how.parts(config, counts.tally):
            before = counts.rows
            with closing(rows):  # type: ignore[type-var]
                _stream(rows, name, how, positions, counts, shards, rejected, config.max_rows, typed=typed)
            counts.files[name] = counts.rows - before
        blank = (None,) * (len(names) + typed)
        for path in additions:
            counts.files[source_of(path)] = _add(path, how, counts, shards, blank)
    _refuse_nothing(how, counts)


def _add(path: Path, how: Plan, counts: _Counts, shards: ShardWriter, blank: tuple[None, ...]) -> int:
    """Add the rows of a labelled batch, whose further columns are blank; return how many there are."""
    rows = read_batch(path)
    for each in rows:
        counts.tally.row += 1
        digest = _count(Row(each.text, None, each.label, ()), how, counts)
        cells = (counts.tally.row, source_of(path), each.text, each.label, digest, *blank)
        shards.add(cells, characters=len(each.text))
    return len(rows)


def _stream(
    rows: Rows,
    name: str,
    how: Plan,
    positions: Positions,
    counts: _Counts,
    shards: ShardWriter,
    rejected: TextIO,
    max_rows: int | None,
    *,
    typed: bool,
) -> None:
    """Stream the rows of one file."""
    unnamed = tuple(
        at
        for at, column in enumerate(how.layout.columns)
        if how.facts.header and column == f"column_{at + 1}"
    )
    while max_rows is None or counts.tally.row < max_rows:
        counts.tally.row += 1
        values = next(rows, None)
        if values is None:
            counts.tally.row -= 1
            return
        row = values if isinstance(values, Malformed) else as_row(values, positions)
        if isinstance(row, Malformed):
            _reject(row, name, counts, rejected)
            continue
        if not isinstance(values, Malformed):
            _note(values, unnamed, positions, counts.tally)
        digest = _count(row, how, counts)
        kind = (row.kind,) if typed else ()
        characters = len(row.text or "") + sum(len(cell) for cell in row.others if cell)
        shards.add(
            (counts.tally.row, name, row.text, row.label, digest, *kind, *row.others), characters=characters
        )


def _count(row: Row, how: Plan, counts: _Counts) -> str | None:
    """Count a good row and return the digest of its text."""
    counts.rows += 1
    if row.label is not None:
        _count_label(row.label, how, counts)
    elif how.layout.label is not None:
        counts.tally.add("missing_labels")
    if row.kind is not None:
        counts.tally.add("cast_texts")
    if row.text is None:
        counts.tally.add("empty_texts")
        return None
    survey(row.text, counts.tally)
    counts.texts += 1
    digest = sha256(row.text.encode()).hexdigest()[:DIGEST_CHARACTERS]
    counts.distinct.add(digest)
    return digest


def _count_label(label: str, how: Plan, counts: _Counts) -> None:
    """Count a label; too many different ones mean that they are none."""
    if label not in counts.labels and len(counts.labels) == MAX_LABELS:
        if not how.labelled:
            return
        raise InputError(
            f"the column '{how.layout.label}' holds over {MAX_LABELS:,} different labels",
            place=how.facts.uri,
            mend="set data.label_column to the column that holds the classes",
        )
    counts.labels[label] = counts.labels.get(label, 0) + 1


def _note(values: tuple[object, ...], unnamed: tuple[int, ...], positions: Positions, tally: Tally) -> None:
    """Count oddities that only the cells as they were read show."""
    if any(values[at] not in (None, "") for at in unnamed):
        tally.add("in_unnamed_columns")
    label = None if positions.label is None else values[positions.label]
    if isinstance(label, str) and label != label.strip() and label.strip():
        tally.add("padded_labels")


def _reject(row: Malformed, name: str, counts: _Counts, rejected: TextIO) -> None:
    """Write a row that could not be read to the list of rejected rows."""
    counts.rejected[row.reason] = counts.rejected.get(row.reason, 0) + 1
    text = None if row.text is None else row.text.encode("utf-8", "replace").decode()
    entry = {
        "row": counts.tally.row,
        "source": name,
        "reason": row.reason,
        "detail": row.detail,
        "text": text,
        "label": None,
    }
    rejected.write(json.dumps(entry, ensure_ascii=False) + "\n")


def _refuse_nothing(how: Plan, counts: _Counts) -> None:
    """Refuse a source of which no row could be read."""
    if counts.rows:
        return
    worst = max(counts.rejected, key=lambda reason: counts.rejected[reason], default=None)
    why = f"every row was rejected, most of them as {worst}" if worst else "there is no row"
    raise InputError(
        why,
        place=how.facts.uri,
        mend="check how it is read: `tunewright data inspect`, then set data.* options",
    )


def _positions(how: Plan) -> tuple[Positions, list[str]]:
    """Return where the cells of a row stand, and the names that the further columns get."""
    layout = how.layout
    others = [name for name in layout.columns if name not in {layout.text, layout.label}]
    at = layout.columns.index
    label = None if layout.label is None else at(layout.label)
    positions = Positions(at(layout.text), label, tuple(map(at, others)), labelled=how.labelled)
    return positions, free_names(others, RESERVED)


def free_names(names: Sequence[str], reserved: Collection[str]) -> list[str]:
    """Return the names that further columns of a source get: those that are taken get ``_in_source`` after them."""
    taken = set(names)
    found = []
    for name in names:
        fresh = name
        while fresh in reserved or (fresh != name and fresh in taken):
            fresh += "_in_source"
        found.append(fresh)
    return found


def _schema(names: list[str], *, typed: bool) -> pa.Schema:
    """Return the columns of the shards."""
    import pyarrow as pa

    kind = [TEXT_KIND] if typed else []
    texts = ["source", "text", "label", "digest", *kind, *names]
    return pa.schema([("row", pa.int64()), *((name, pa.string()) for name in texts)])


def _summary(how: Plan, counts: _Counts) -> IngestSummary:
    """Put what was counted into words and numbers."""
    unique = counts.distinct.count()
    notes = [
        *how.facts.notes,
        *notes_of(counts.tally, rows=counts.texts, unique=unique, labels=counts.labels),
        *(f"{rows:,} rows were rejected as {reason}" for reason, rows in counts.rejected.items()),
    ]
    facts = how.facts.model_copy(update={"files": counts.files, "notes": tuple(notes)})
    return IngestSummary(
        facts=facts, rows=counts.rows, unique=unique, labels=counts.labels, rejected=counts.rejected
    )
