"""The pass that reads every row once and keeps a few numbers of each."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.data.chat.saying import calls_of, fault_of
from tunewright.data.chat.stored import CONVERSATION, row_of
from tunewright.data.findings import Findings
from tunewright.data.normal_form import canonical, hash64, key_form, words
from tunewright.data.parts import read_parts
from tunewright.data.rules import GOOD, REASONS, Rows, fault, text_fault

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.config.data import Validation
    from tunewright.data.chat.figures import Shapes


def judge(source: Path, config: Validation, *, shapes: Shapes | None = None) -> tuple[Rows, Findings]:
    """Read every row once: its own faults, its identities, what is to be flagged.

    Args:
        source: The parts.
        config: The rules.
        shapes: Takes the rows where they are a language model's; none where they are texts with labels.
    """
    import numpy as np

    allowed = set(config.labels) if config.labels is not None else None
    names: dict[str, int] = {}
    findings = Findings(config)
    columns = [array(kind) for kind in "qbqqQqqq"]
    for row, text, label, digest, cell in _records(source, conversations=shapes is not None):
        said = text
        if shapes is None or cell is None:
            reason = fault(text, label, config, allowed)
        else:
            conversation = row_of(cell, row=row)
            shapes.add(conversation)
            reason = text_fault(text, config) or fault_of(conversation)
            said = f"{text}\n{calls_of(conversation)}"
        if reason == "empty_text" and text is None and digest is not None:
            reason = "not_text"  # ingest saw a value that cleaning was told not to cast
        identities = [0, 0, 0, 0]
        if reason == GOOD:
            forms = (canonical(text), words(text), key_form(text))
            identities = [int(digest or "0", 16), *map(hash64, forms)]
            if findings.look(row, said) and config.quarantine_flagged:
                reason = "secret"
        code = -1 if label is None or not label.strip() else names.setdefault(label, len(names))
        size = len(text) if isinstance(text, str) else 0
        for column, value in zip(columns, (row, REASONS.index(reason), code, size, *identities), strict=True):
            column.append(value)
    row_numbers, reasons, codes, sizes, digests, canonicals, wordings, keys = columns
    return Rows(
        row=np.array(row_numbers, np.int64),
        reason=np.array(reasons, np.int8),
        other=np.zeros(len(row_numbers), np.int64),
        label=np.array(codes, np.int64),
        characters=np.array(sizes, np.int64),
        digest=np.array(digests, np.uint64).view(np.int64),
        canonical=np.array(canonicals, np.int64),
        words=np.array(wordings, np.int64),
        key=np.array(keys, np.int64),
        label_names=tuple(names),
    ), findings


def _records(
    source: Path, *, conversations: bool
) -> Iterator[tuple[int, Any, str | None, str | None, str | None]]:
    """Give (row, text, label, digest, conversation) of every row, in source order."""
    names = ("row", "text", "label", "digest", *([CONVERSATION] if conversations else []))
    for table in read_parts(source, names):
        columns = [column.to_pylist() for column in table.columns]
        columns += [] if conversations else [[None] * table.num_rows]
        yield from zip(*columns, strict=True)


def texts_at(source: Path, positions: npt.NDArray[np.int64]) -> Iterator[tuple[int, str]]:
    """Give (position, text) at some positions (sorted, counted over all parts)."""
    start = 0
    for table in read_parts(source, ("text",)):
        wanted = positions[(positions >= start) & (positions < start + table.num_rows)]
        texts = table.column("text").take(wanted - start).to_pylist()
        yield from zip(wanted.tolist(), texts, strict=True)
        start += table.num_rows
