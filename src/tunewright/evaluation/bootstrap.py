"""Resampling of test rows: how much a figure would move with other rows from the same source.

A row matters only through its cell (true label, answer of one model, answer of the other), so a bootstrap
sample of n rows is one multinomial draw over the few cells that occur. That is the same distribution as drawing
rows (Efron and Tibshirani 1993, "An Introduction to the Bootstrap"), costs little with many rows, and can't
depend on their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.evaluation.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

CHUNK = 4_000_000
"""Counts held at once: bounds memory to some tens of MB whatever the number of rows."""


@dataclass(frozen=True, slots=True)
class Resampled:
    """Figures of one model in each resample, float64 (samples,)."""

    accuracy: np.ndarray
    balanced_accuracy: np.ndarray
    f1_macro: np.ndarray


def resample(
    labels: np.ndarray, answers: Sequence[np.ndarray], *, samples: int, seed: int
) -> tuple[Resampled, ...]:
    """Measure models on the same bootstrap samples of rows.

    Args:
        labels: True class ids, (n,).
        answers: Predicted class ids by model, each (n,).
        samples: Number of resamples.
        seed: Makes the draws repeatable; the order of rows doesn't matter.

    Returns:
        One ``Resampled`` a model; position i of each comes from the same resample.
    """
    import numpy as np

    table = np.stack([labels, *answers], axis=1)
    cells, counts = np.unique(table, axis=0, return_counts=True)
    width = int(table.max()) + 1
    parts: list[list[Resampled]] = [[] for _ in answers]
    for draw in draws(counts, samples=samples, seed=seed):
        for model, found in enumerate(parts):
            found.append(_measure(draw, cells[:, 0], cells[:, 1 + model], width))
    return tuple(
        Resampled(
            accuracy=np.concatenate([part.accuracy for part in found]),
            balanced_accuracy=np.concatenate([part.balanced_accuracy for part in found]),
            f1_macro=np.concatenate([part.f1_macro for part in found]),
        )
        for found in parts
    )


def interval(value: float, resampled: np.ndarray, *, confidence: float) -> Interval:
    """Return the percentile interval around a figure."""
    import numpy as np

    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high))


def calibration_rises(
    gaps: Sequence[np.ndarray], bins: Sequence[np.ndarray], *, count: int, samples: int, seed: int
) -> np.ndarray:
    """Resample the rise of the expected calibration error from the second model to the first.

    Args:
        gaps: Confidence minus correctness by model, each (n,).
        bins: Bin of the confidence by model, each (n,).
        count: Number of bins.
        samples: Number of resamples.
        seed: Makes the draws repeatable.

    Returns:
        float64 (samples,).
    """
    import numpy as np

    order = np.lexsort((bins[1], bins[0], gaps[1], gaps[0]))
    rows = len(order)
    errors = []
    for draw in draws(np.ones(rows, dtype=np.int64), samples=samples, seed=seed):
        first, second = (
            np.abs(draw @ _spread(bin_[order], count, gap[order])).sum(axis=1) / rows
            for gap, bin_ in zip(gaps, bins, strict=True)
        )
        errors.append(first - second)
    return np.concatenate(errors)


def draws(counts: np.ndarray, *, samples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each resample draws each cell.

    Args:
        counts: Rows in each cell, (cells,).
        samples: Number of resamples.
        seed: Makes the draws repeatable.

    Yields:
        Multinomial counts, int64 (some, cells); ``samples`` lines in all.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    total = int(counts.sum())
    chunk = max(1, CHUNK // len(counts))
    for start in range(0, samples, chunk):
        yield generator.multinomial(total, counts / total, size=min(chunk, samples - start))


def _measure(draws: np.ndarray, labels: np.ndarray, answers: np.ndarray, width: int) -> Resampled:
    """Return the figures of each line of ``draws``, with the conventions of ``Metrics``."""
    import numpy as np

    right = (labels == answers).astype(np.float64)
    hits = draws @ _spread(labels, width, right)
    support = draws @ _spread(labels, width)
    involved = support + draws @ _spread(answers, width)
    recall = np.divide(hits, support, out=np.zeros_like(hits), where=support > 0)
    f1 = np.divide(2 * hits, involved, out=np.zeros_like(hits), where=involved > 0)
    return Resampled(
        accuracy=hits.sum(axis=1) / draws.sum(axis=1),
        balanced_accuracy=recall.sum(axis=1) / (support > 0).sum(axis=1),
        f1_macro=f1.sum(axis=1) / (involved > 0).sum(axis=1),
    )


def _spread(columns: np.ndarray, width: int, values: np.ndarray | None = None) -> np.ndarray:
    """Return a dense (n, width) array with one value a line, at ``columns``; 1 unless told."""
    import numpy as np

    spread = np.zeros((len(columns), width))
    spread[np.arange(len(columns)), columns] = 1.0 if values is None else values
    return spread
