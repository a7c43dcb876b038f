"""Texts that come in to be answered: read by the readers of data sets, cleaned and judged as in training."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.data.cleaning import clean
from tunewright.data.dataset import Facts, SourceFacts
from tunewright.data.ingest import ingest
from tunewright.data.parts import PartWriter, read_parts, writing_parts
from tunewright.data.quarantine import QuarantinedRow, read_rejected, shortened, write_quarantine
from tunewright.data.rules import GOOD, detail, text_fault
from tunewright.data.sources import fingerprint, local_files
from tunewright.support.digests import digest_file, digest_json
from tunewright.support.files import write_json

if TYPE_CHECKING:
    import pyarrow as pa

    from tunewright.config.data import Cleaning, DataConfig, Validation
    from tunewright.data.columns import Incoming

QUARANTINE = "quarantine.jsonl"
TAKEN = "taken.json"
PIECE_ROWS = 2_000
"""Rows a part: what is held in memory at a time, and what a killed inference has to do again at most."""


class Taken(Facts):
    """What was taken in; ``taken.json`` holds it."""

    source: SourceFacts
    rows: int
    """Rows that can be answered."""
    quarantined: dict[str, int]
    """Rows set aside, by reason."""


def content_digest(config: DataConfig, *, base_dir: Path) -> str:
    """Identify what a source holds, whatever it is called.

    Returns:
        A digest of the bytes of local files; of ETags or the like where files are remote, of the commit on the hub.

    Raises:
        InputError: When the source can't be found or reached.
    """
    files = local_files(config, base_dir=base_dir)
    state = [digest_file(file) for file in files] if files else fingerprint(config, base_dir=base_dir)
    return digest_json(state)


def take_in(
    config: DataConfig,
    cleaning: Cleaning,
    validation: Validation,
    *,
    base_dir: Path,
    out: Path,
    incoming: Incoming,
) -> Taken:
    """Read, clean and judge texts without asking for labels; memory doesn't grow with the source.

    Every row of the source ends either in ``part-*.parquet`` (``row``, ``source``, ``text``, ``label`` where the
    source has one) or in ``quarantine.jsonl``. Copies stay: each row wants its answer.

    Args:
        config: The source and how to read it.
        cleaning: The steps that the model was trained with.
        validation: Its rules on texts hold; those on labels and copies don't.
        base_dir: The folder that relative paths start from.
        out: The folder to write, all or nothing.
        incoming: What the columns were called in training.

    Returns:
        What was taken in.

    Raises:
        InputError: When the source can't be found or read, or holds no row that can be read.
        TunewrightError: When ``out`` can't be written.
    """
    with writing_parts(out) as folder:
        rows, cleaned = folder / "rows", folder / "cleaned"
        facts = ingest(config, base_dir=base_dir, out=rows, incoming=incoming).facts
        clean(rows, cleaning, out=cleaned)
        shutil.rmtree(rows)
        writer = PartWriter(folder, rows=PIECE_ROWS)
        counts, _ = write_quarantine(
            folder / QUARANTINE, read_rejected(cleaned), _keep_good(cleaned, validation, writer)
        )
        writer.close()
        shutil.rmtree(cleaned)
        kept = sum(table.num_rows for table in read_parts(folder, ("row",)))
        taken = Taken(source=facts, rows=kept, quarantined=counts)
        write_json(folder / TAKEN, taken.model_dump(mode="json"))
    return taken


def _keep_good(source: Path, validation: Validation, writer: PartWriter) -> Iterator[QuarantinedRow]:
    """Hand good rows to the writer as they stream by, and give the others."""
    for table in read_parts(source, ("row", "source", "text", "label", "digest")):
        faults = [
            _fault(text, digest, validation)
            for text, digest in zip(
                *(table.column(name).to_pylist() for name in ("text", "digest")), strict=True
            )
        ]
        writer.add(_good(table, faults))
        for at, reason in enumerate(faults):
            if reason != GOOD:
                yield _set_aside(table, at, reason, validation)


def _fault(text: str | None, digest: str | None, validation: Validation) -> str:
    """Return the reason against a text, or ``GOOD``."""
    from tunewright.data.privacy import secrets

    if text is None and digest is not None:
        return "not_text"  # ingest saw a value that cleaning was told not to cast
    reason = text_fault(text, validation)
    if reason == GOOD and validation.quarantine_flagged and validation.flag_secrets and secrets(text or ""):
        return "secret"
    return reason


def _good(table: pa.Table, faults: list[str]) -> pa.Table:
    import pyarrow as pa

    kept = table.filter(pa.array([reason == GOOD for reason in faults], pa.bool_()))
    return kept.select(["row", "source", "text", "label"])


def _set_aside(table: pa.Table, at: int, reason: str, validation: Validation) -> QuarantinedRow:
    row = {name: table.column(name)[at].as_py() for name in ("row", "source", "text", "label")}
    return QuarantinedRow(
        row=row["row"],
        source=row["source"] or "",
        reason=reason,
        detail=detail(reason, text=row["text"], label=row["label"], other=0, config=validation),
        text=None if reason == "secret" else shortened(row["text"]),
        label=row["label"],
    )
