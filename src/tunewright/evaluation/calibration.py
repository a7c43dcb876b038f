"""Does a confidence of 0.9 mean right nine times out of ten? Reliability bins and their summary.

Expected calibration error with equally wide bins of the top class's confidence: Guo et al. 2017, "On
Calibration of Modern Neural Networks" (arXiv:1706.04599).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.data.dataset import Facts

if TYPE_CHECKING:
    import numpy as np


class Bin(Facts):
    """Rows whose confidence lies in ``(low, high]``."""

    low: float
    high: float
    rows: int
    confidence: float
    """Mean confidence; 0 without rows."""
    accuracy: float
    """Share of rows that are right; 0 without rows."""


def reliability(labels: np.ndarray, log_probabilities: np.ndarray, *, bins: int) -> tuple[Bin, ...]:
    """Sort rows into equally wide bins of confidence.

    Args:
        labels: True class ids, (n,).
        log_probabilities: (n, labels).
        bins: Number of bins over 0 to 1.
    """
    import numpy as np

    confidence, correct = _top(labels, log_probabilities)
    rows, mean_confidence, accuracy = _binned(confidence, correct, bins)
    edges = np.linspace(0, 1, bins + 1)
    return tuple(
        Bin(
            low=float(edges[index]),
            high=float(edges[index + 1]),
            rows=int(rows[index]),
            confidence=float(mean_confidence[index]),
            accuracy=float(accuracy[index]),
        )
        for index in range(bins)
    )


def expected_calibration_error(labels: np.ndarray, log_probabilities: np.ndarray, *, bins: int) -> float:
    """Return the mean distance between confidence and accuracy over the bins, weighted by rows."""
    confidence, correct = _top(labels, log_probabilities)
    rows, mean_confidence, accuracy = _binned(confidence, correct, bins)
    return float((rows * abs(mean_confidence - accuracy)).sum() / len(labels))


def bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Return the bin, 0 to ``bins - 1``, of each confidence: bins are closed on the right."""
    import numpy as np

    found: np.ndarray = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return found


def _top(labels: np.ndarray, log_probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence of the predicted class and whether it is right."""
    import numpy as np

    confidence = np.exp(log_probabilities.max(axis=1).astype(np.float64))
    return confidence, log_probabilities.argmax(axis=1) == labels


def _binned(
    confidence: np.ndarray, correct: np.ndarray, bins: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, mean confidence and accuracy by bin; 0 where a bin is empty."""
    import numpy as np

    index = bin_of(confidence, bins)
    rows = np.bincount(index, minlength=bins)
    divisor = np.maximum(rows, 1)
    mean_confidence = np.bincount(index, weights=confidence, minlength=bins) / divisor
    accuracy = np.bincount(index, weights=correct.astype(np.float64), minlength=bins) / divisor
    return rows, mean_confidence, accuracy
