"""Parts of a split that may fare worse than the whole: short or long texts, one file, one customer group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.support.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd

    from tunewright.config.schema import EvaluationConfig
    from tunewright.data.dataset import Dataset, SplitName

LENGTH_PARTS = 4
"""Quarters by number of characters."""
MAX_VALUES = 20
"""Values of a column that get a slice of their own, the most frequent first."""


def slice_masks(
    dataset: Dataset, config: EvaluationConfig, *, split: SplitName = "test"
) -> dict[str, np.ndarray]:
    """Name slices of a split and say which rows each holds.

    Slices are quarters by length, files of the source (when there are several), and the values of
    ``config.slice_columns``.

    Returns:
        Boolean arrays in the order of ``dataset.examples(split)``, by name.

    Raises:
        InputError: When a column of ``slice_columns`` isn't in the data.
    """
    frame = dataset.frame(split)
    masks = by_length(list(frame["text"]))
    if frame["source"].nunique() > 1:
        masks |= _by_value(frame, "source", "file")
    for column in config.slice_columns:
        if column not in frame.columns:
            known = [str(name) for name in frame.columns]
            raise InputError(
                "no such column in the data",
                place=f"evaluation.slice_columns: '{column}'",
                mend=nearest(column, known) or f"known: {', '.join(known)}",
            )
        masks |= _by_value(frame, column, column)
    return masks


def by_length(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Cut texts into quarters by characters; equal lengths stay together, so that parts may be fewer."""
    import numpy as np

    lengths = np.array([len(text) for text in texts])
    inner = np.quantile(lengths, np.linspace(0, 1, LENGTH_PARTS + 1)[1:-1]) if len(lengths) else []
    edges = sorted({int(edge) for edge in inner} - {int(lengths.max(initial=0))})
    part = np.searchsorted(edges, lengths, side="left")
    masks = {}
    for index in range(len(edges) + 1):
        mask = part == index
        if mask.any():
            low, high = int(lengths[mask].min()), int(lengths[mask].max())
            masks[f"length {low} to {high} characters"] = mask
    return masks


def _by_value(frame: pd.DataFrame, column: str, title: str) -> dict[str, np.ndarray]:
    """Make a slice of each frequent value of a column; missing values count as one."""
    values = frame[column].astype("string").fillna("(missing)")
    counts = values.value_counts()
    frequent = sorted(counts.index, key=lambda value: (-counts[value], value))[:MAX_VALUES]
    return {f"{title} {value}": (values == value).to_numpy(dtype=bool) for value in frequent}
