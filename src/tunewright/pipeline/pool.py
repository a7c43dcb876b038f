"""The pool that rows to label are chosen from: answers on disk, of which a few numbers a row are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.data.dataset import SPLITS
from tunewright.data.normal_form import hash64, key_form
from tunewright.data.parts import read_parts
from tunewright.data.selection import MANIFEST, Selection
from tunewright.evaluation.answers import logits_of
from tunewright.evaluation.uncertainty import Strategy, uncertainty

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.pipeline.project import Project

TO_LABEL = Path("data/to_label")
LABELLED = Path("data/labelled")


@dataclass(frozen=True, slots=True)
class Pool:
    """What is kept of every answered row."""

    scores: npt.NDArray[np.float64]
    keys: npt.NDArray[np.int64]
    """64 bits of the normal form of each text."""


def read_pool(folder: Path, strategy: Strategy) -> Pool:
    """Score every row, part by part: sixteen bytes of each are kept."""
    import numpy as np

    scores, keys = [np.zeros(0)], [np.zeros(0, np.int64)]
    for table in read_parts(folder, ("text", "logits")):
        scores.append(uncertainty(logits_of(table), strategy))
        keys.append(_keys(table["text"].to_pylist()))
    return Pool(np.concatenate(scores), np.concatenate(keys))


def free_rows(
    project: Project, pool: Pool, folder: Path, *, repeat: bool
) -> tuple[npt.NDArray[np.int64], dict[str, int]]:
    """Return the positions that may be chosen, and how many rows each reason left out.

    Args:
        project: The project, whose data set, labelled batches and selections say what is taken.
        pool: The rows.
        folder: The selection that is being made: its own rows, of an earlier time, don't count.
        repeat: Whether rows of other selections may be chosen again.
    """
    import numpy as np

    reasons = {
        "in the data set": _known_keys(_data_texts(project)),
        "labelled already": _known_keys(_labelled_texts(project)),
        "in another selection": np.zeros(0, np.int64)
        if repeat
        else _known_keys(_selected_texts(project, folder)),
    }
    free = np.ones(len(pool.keys), bool)
    left_out = {}
    for reason, keys in reasons.items():
        found = free & np.isin(pool.keys, keys)
        left_out[reason] = int(found.sum())
        free &= ~found
    positions = np.flatnonzero(free)
    _, first = np.unique(pool.keys[positions], return_index=True)
    left_out["a copy of another row"] = len(positions) - len(first)
    return positions[np.sort(first)], {reason: rows for reason, rows in left_out.items() if rows}


def rows_at(
    folder: Path, positions: npt.NDArray[np.int64], columns: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, object]]]:
    """Give position and columns of the answers at some positions, which ascend."""
    start = 0
    for table in read_parts(folder, columns):
        wanted = positions[(positions >= start) & (positions < start + table.num_rows)]
        yield from zip(wanted.tolist(), table.take(wanted - start).to_pylist(), strict=True)
        start += table.num_rows


def _data_texts(project: Project) -> Iterator[list[str]]:
    for split in SPLITS:
        for table in read_parts(project.paths.processed / split, ("text",)):
            yield table["text"].to_pylist()


def _labelled_texts(project: Project) -> Iterator[list[str]]:
    from tunewright.data.labelled import read_batch

    for path in sorted((project.paths.root / LABELLED).glob("*.jsonl")):
        yield [row.text for row in read_batch(path)]


def _selected_texts(project: Project, own: Path) -> Iterator[list[str]]:
    for path in sorted((project.paths.root / TO_LABEL).glob(f"*/{MANIFEST}")):
        if path.parent.resolve() != own:
            yield [row.text for row in Selection.load(path.parent).rows]


def _known_keys(texts: Iterator[list[str]]) -> npt.NDArray[np.int64]:
    import numpy as np

    return np.unique(np.concatenate([np.zeros(0, np.int64), *map(_keys, texts)]))


def _keys(texts: list[str]) -> npt.NDArray[np.int64]:
    import numpy as np

    return np.array([hash64(key_form(text)) for text in texts], np.int64)
