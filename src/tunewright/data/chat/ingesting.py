"""The first step for language models: a source in any format becomes the same shards as texts with labels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pydantic_core import PydanticSerializationError

from tunewright.data.cells import other_text
from tunewright.data.chat.detecting import DETECTION_ROWS
from tunewright.data.chat.formats import Converted
from tunewright.data.chat.opening import Opened, Taken, open_chat
from tunewright.data.chat.reading import TEXT
from tunewright.data.chat.refusals import Refused
from tunewright.data.chat.saying import text_of
from tunewright.data.chat.stored import CONVERSATION, cell_of
from tunewright.data.dataset import SourceFacts
from tunewright.data.dialects import DELIMITER_NAMES
from tunewright.data.distinct import Distinct
from tunewright.data.ingest import (
    DIGEST_CHARACTERS,
    REJECTED,
    RESERVED,
    SUMMARY,
    IngestSummary,
    free_names,
)
from tunewright.data.oddities import notes_of, survey
from tunewright.data.parts import writing_parts
from tunewright.data.quarantine import shortened
from tunewright.data.rows import Malformed, Tally
from tunewright.support.errors import InputError
from tunewright.support.files import write_json

if TYPE_CHECKING:
    import pyarrow as pa

    from tunewright.config.data import DataConfig
    from tunewright.data.chat.rows import ChatRow
    from tunewright.data.shards import ShardWriter

AUTO = "auto"
OPTION = "data.chat_format={}"
MEND = "check how it is read: `tunewright data inspect SOURCE training=sft`, then set data.chat_format"
NAMED_FIELDS = 10
"""Fields that a note names."""


@dataclass(slots=True)
class _Counts:
    """What is counted while rows stream by."""

    tally: Tally = field(default_factory=Tally)
    rows: int = 0
    several: int = 0
    """Rows of the source that gave more than one."""
    distinct: Distinct = field(default_factory=Distinct)
    kinds: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    first_refusal: str = ""
    files: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows by field that is not kept."""


def ingest_chat(
    config: DataConfig, *, base_dir: Path, out: Path, additions: Sequence[Path] = ()
) -> IngestSummary:
    """Read conversations, completions, preferences or plain text into parquet shards, in memory that doesn't grow.

    ``out`` gets what ``tunewright.data.ingest.ingest`` writes, all or nothing: ``part-*.parquet`` (``row``, ``source``,
    ``text``: all that the row says, ``label``: its kind, ``digest``: of the whole row, ``conversation``: the row as
    JSON, then the fields of the source that the format doesn't use, as strings), ``rejected.jsonl`` and
    ``source.json``. A row of the source that holds several conversations gives as many rows, each with a number.

    Args:
        config: The source and how to read it.
        base_dir: The folder that relative paths start from.
        out: The folder to write; what it held is replaced.
        additions: Labelled batches, which rows of language models can't take: there must be none.

    Returns:
        What was read.

    Raises:
        InputError: When the source can't be found or read, its format is not clear, it holds no usable row, or there
            are labelled batches.
        TunewrightError: When ``out`` can't be written.
    """
    _refuse_additions(additions)
    opened = _opened(config, base_dir)
    counts = _Counts()
    with writing_parts(out) as folder:
        _write(opened, config, folder, counts)
        summary = _summary(opened, counts)
        write_json(folder / SUMMARY, summary.model_dump(mode="json"))
    return summary


def inspect_chat(config: DataConfig, *, base_dir: Path) -> SourceFacts:
    """Tell how a source of a language model's rows would be read, from its first rows.

    Raises:
        InputError: When it can't be found or read, or its format is not clear.
    """
    return _facts(_opened(config, base_dir))


def _opened(config: DataConfig, base_dir: Path) -> Opened:
    name = None if config.chat_format == AUTO else config.chat_format
    return open_chat(config, base_dir=base_dir, format_name=name, option=OPTION)


def _refuse_additions(additions: Sequence[Path]) -> None:
    if additions:
        raise InputError(
            f"{len(additions)} labelled batch{'es' * (len(additions) != 1)} can't join the rows of a language model",
            place=str(additions[0]),
            mend="move them out of data/labelled, or train a classifier (training.objective=classification)",
        )


def _write(opened: Opened, config: DataConfig, folder: Path, counts: _Counts) -> None:
    """Stream the source into shards and rejected rows."""
    from tunewright.data.shards import ShardWriter

    fields = _further(opened)
    schema = _schema(free_names(list(fields), RESERVED | {CONVERSATION}))
    with (
        (folder / REJECTED).open("w", encoding="utf-8") as rejected,
        ShardWriter(folder, schema, shard_rows=config.shard_rows) as shards,
        closing(opened.rows(system=config.system)) as taken,  # type: ignore[type-var]
    ):
        for each in taken:
            _take(each, fields, counts, shards, rejected)
    if not counts.rows:
        why = (
            f"none of its {counts.rejected.total():,} rows can be used (first: {counts.first_refusal})"
            if counts.rejected
            else "there is no row"
        )
        raise InputError(why, place=opened.source.uri, mend=MEND)


def _take(
    taken: Taken, fields: Mapping[str, None], counts: _Counts, shards: ShardWriter, rejected: TextIO
) -> None:
    """Write what became of one row of the source."""
    cells: list[str] = []
    refused = taken.refused
    if refused is None:
        try:
            cells = [cell_of(row) for row in taken.rows]
        except PydanticSerializationError as error:  # a table's bytes, say, among the arguments of a call
            refused = Refused("wrong_type", f"the row holds what JSON can't write ({error})")
    if refused is not None:
        _reject(taken, refused, counts, rejected)
        return
    value: Mapping[str, object] = taken.at.value
    further = tuple(other_text(value.get(name)) for name in fields)
    counts.dropped.update(name for name in taken.unused if name not in fields)
    counts.several += len(taken.rows) > 1
    for row, cell in zip(taken.rows, cells, strict=True):
        text, digest = _count(row, cell, taken.at.source, counts)
        shards.add(
            (counts.tally.row, taken.at.source, text, row.kind, digest, cell, *further),
            characters=len(text) + len(cell) + sum(len(each) for each in further if each),
        )


def _count(row: ChatRow, cell: str, source: str, counts: _Counts) -> tuple[str, str]:
    """Count a good row; return what it says and the digest of all that it is."""
    counts.tally.row += 1
    counts.rows += 1
    counts.kinds[row.kind] += 1
    counts.files[source] += 1
    text = text_of(row)
    survey(text, counts.tally)
    digest = sha256(cell.encode()).hexdigest()[:DIGEST_CHARACTERS]
    counts.distinct.add(digest)
    return text, digest


def _reject(taken: Taken, why: Refused, counts: _Counts, rejected: TextIO) -> None:
    """Write a refused row to the list of rejected rows."""
    counts.tally.row += 1
    counts.rejected[why.reason] += 1
    counts.first_refusal = counts.first_refusal or f"row {counts.tally.row}: {why.reason}: {why.detail}"
    value = taken.at.value
    entry = {
        "row": counts.tally.row,
        "source": taken.at.source,
        "reason": why.reason,
        "detail": shortened(why.detail),
        "text": shortened(value.text if isinstance(value, Malformed) else _raw(value)),
        "label": None,
    }
    rejected.write(json.dumps(entry, ensure_ascii=False) + "\n")


def _raw(value: object) -> str | None:
    """Return a refused row as JSON; nothing where it has too many levels."""
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        return None


def _further(opened: Opened) -> dict[str, None]:
    """Return the fields of the first rows that the format doesn't use: they become columns."""
    found: dict[str, None] = {}
    for value in opened.source.first(DETECTION_ROWS):
        if isinstance(value, Mapping) and isinstance(made := opened.format.convert(value), Converted):
            found.update((str(name), None) for name in value if name in made.unused)
    return found


def _schema(names: Sequence[str]) -> pa.Schema:
    """Return the columns of the shards."""
    import pyarrow as pa

    texts = ("source", "text", "label", "digest", CONVERSATION, *names)
    return pa.schema([("row", pa.int64()), *((name, pa.string()) for name in texts)])


def _facts(opened: Opened) -> SourceFacts:
    """Say how the source is read."""
    files = opened.source.files
    first = files[0][1]
    dialect = first.dialect
    notes = list(opened.source.notes)
    notes.append(f"rows are taken as {opened.format.name} ({opened.why})")
    if any(facts.format == TEXT for _, facts in files):
        notes.append("of a text file, each line that isn't blank is a row")
    encodings = dict.fromkeys(facts.encoding for _, facts in files if facts.encoding)
    return SourceFacts(
        uri=opened.source.uri,
        format=first.format,
        encoding=", ".join(encodings) or None,
        delimiter=None if dialect is None else DELIMITER_NAMES.get(dialect.delimiter, dialect.delimiter),
        header=first.header,
        text_column="",
        label_column=None,
        chat_format=opened.format.name,
        notes=tuple(notes),
    )


def _summary(opened: Opened, counts: _Counts) -> IngestSummary:
    """Put what was counted into words and numbers."""
    facts, unique = _facts(opened), counts.distinct.count()
    notes = [*facts.notes, *notes_of(counts.tally, rows=counts.rows, unique=unique, labels={})]
    if counts.several:
        notes.append(
            f"{counts.several:,} rows of the source hold several conversations; rows are numbered one by one"
        )
    if counts.dropped:
        shown = ", ".join(
            f"{name} ({rows:,} rows)" for name, rows in counts.dropped.most_common(NAMED_FIELDS)
        )
        notes.append(f"fields that are not kept: {shown}")
    notes += [f"{rows:,} rows were rejected as {reason}" for reason, rows in counts.rejected.items()]
    return IngestSummary(
        facts=facts.model_copy(update={"files": dict(counts.files), "notes": tuple(notes)}),
        rows=counts.rows,
        unique=unique,
        labels=dict(counts.kinds),
        rejected=dict(counts.rejected),
    )
