"""The figures of one model on one split: accuracy, F1, precision and recall by label, calibration error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.data.dataset import Facts
from tunewright.evaluation.calibration import expected_calibration_error
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

LEAST_LOG_PROBABILITY = -36.0
"""Floor of the log loss: about the logarithm of float64's resolution, so that a probability of 0 stays finite."""


class Metrics(Facts):
    """Figures of one model on one split.

    A figure whose divisor is 0 is 0. Macro figures run over the labels that have rows or were predicted,
    ``balanced_accuracy`` over those that have rows: the same conventions as scikit-learn's.
    """

    rows: int
    accuracy: float
    balanced_accuracy: float
    f1_macro: float
    precision_macro: float
    recall_macro: float
    log_loss: float
    """Mean negative log-probability of the true label, in nats."""
    ece: float
    """Expected calibration error: how far confidence and accuracy lie apart."""
    f1: dict[str, float]
    precision: dict[str, float]
    recall: dict[str, float]
    support: dict[str, int]
    """Rows by label."""
    labels_without_rows: tuple[str, ...] = ()

    @property
    def summary(self) -> dict[str, float]:
        """The figures that are one number, by name."""
        return {
            name: getattr(self, name)
            for name in (
                "accuracy", "balanced_accuracy", "f1_macro", "precision_macro", "recall_macro", "log_loss", "ece",
            )
        }  # fmt: skip


def score(
    labels: np.ndarray, log_probabilities: np.ndarray, label_names: Sequence[str], *, bins: int
) -> Metrics:
    """Measure predictions.

    Args:
        labels: True class ids, (n,).
        log_probabilities: Log-probabilities, (n, labels); minus infinity is allowed.
        label_names: Names by class id.
        bins: Bins of the calibration error.

    Raises:
        InputError: When there are no rows, or the label names don't fit the probabilities.
    """
    import numpy as np

    _check(labels, log_probabilities, label_names)
    predicted = log_probabilities.argmax(axis=1)
    matrix = confusion(labels, predicted, len(label_names))
    right, support, answered = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    precision, recall = ratio(right, answered), ratio(right, support)
    f1 = ratio(2 * right, support + answered)
    present, used = support > 0, (support + answered) > 0
    true_log = log_probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return Metrics(
        rows=len(labels),
        accuracy=float(right.sum() / len(labels)),
        balanced_accuracy=float(recall[present].mean()),
        f1_macro=float(f1[used].mean()),
        precision_macro=float(precision[used].mean()),
        recall_macro=float(recall[used].mean()),
        log_loss=float(-np.maximum(true_log, LEAST_LOG_PROBABILITY).mean()),
        ece=expected_calibration_error(labels, log_probabilities, bins=bins),
        f1=_by_name(label_names, f1),
        precision=_by_name(label_names, precision),
        recall=_by_name(label_names, recall),
        support={name: int(count) for name, count in zip(label_names, support, strict=True)},
        labels_without_rows=tuple(name for name, has in zip(label_names, present, strict=True) if not has),
    )


def confusion(labels: np.ndarray, predicted: np.ndarray, count: int) -> np.ndarray:
    """Return the confusion matrix, int64 (count, count): line = true label, column = predicted label."""
    import numpy as np

    pairs = labels.astype(np.int64) * count + predicted
    matrix: np.ndarray = np.bincount(pairs, minlength=count * count).reshape(count, count)
    return matrix


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide, float64; 0 where the divisor is 0."""
    import numpy as np

    quotient: np.ndarray = np.divide(
        above, below, out=np.zeros(np.shape(above), dtype=np.float64), where=np.asarray(below) > 0
    )
    return quotient


def _check(labels: np.ndarray, log_probabilities: np.ndarray, label_names: Sequence[str]) -> None:
    """Refuse what can't be measured."""
    import numpy as np

    if not len(labels):
        raise InputError("there are no rows to measure", mend="raise data.test_share or add rows")
    if log_probabilities.shape != (len(labels), len(label_names)):
        raise InputError(
            f"probabilities of shape {log_probabilities.shape} for {len(labels)} rows"
            f" and {len(label_names)} labels",
            mend="measure a model with the label names that it was trained on",
        )
    if np.isnan(log_probabilities).any():
        raise InputError(
            "some probabilities are not numbers", mend="the training diverged; lower training.learning_rate"
        )


def _by_name(label_names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    """Pair names with figures."""
    return {name: float(value) for name, value in zip(label_names, values, strict=True)}
