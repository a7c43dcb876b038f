"""Labelled batches beside the source: rows that came after the first training."""

from __future__ import annotations

from pathlib import Path

PREFIX = "labelled/"
SUFFIX = ".jsonl"


def batches(folder: Path) -> tuple[Path, ...]:
    """List the batches in a folder, in the order of their names; none when there is no folder."""
    return tuple(sorted(folder.glob(f"*{SUFFIX}")))


def source_of(batch: Path) -> str:
    """Return what the rows of a batch have as their source."""
    return PREFIX + batch.stem


def is_addition(source: str) -> bool:
    """Tell whether a row's source is a labelled batch."""
    return source.startswith(PREFIX)
