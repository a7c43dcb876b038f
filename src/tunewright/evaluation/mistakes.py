"""Where a model is wrong: the surest mistakes, and the labels that it takes for each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.data.dataset import Facts
from tunewright.evaluation.metrics import confusion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tunewright.data.dataset import Examples
    from tunewright.evaluation.predictions import Predictions

MOST_CHARACTERS = 1000
"""Longer texts are cut in a report."""
MOST_CONFUSIONS = 12


class Mistake(Facts):
    """A row that the model gets wrong."""

    row: int
    source: str
    text: str
    truth: str
    predicted: str
    confidence: float
    """Probability that the model gave its wrong answer."""
    others: dict[str, str]
    """What the other models answer, by name."""


class Confusion(Facts):
    """One label taken for another."""

    truth: str
    predicted: str
    rows: int
    share: float
    """Share of the true label's rows."""


def worst_mistakes(
    predictions: Predictions,
    examples: Examples,
    label_names: Sequence[str],
    *,
    others: Mapping[str, Predictions],
    count: int,
) -> tuple[Mistake, ...]:
    """Return the mistakes that the model was surest of, the surest first.

    Args:
        predictions: The model's answers.
        examples: The rows, by row number.
        label_names: Names by class id.
        others: Other models' answers, by name.
        count: Mistakes to return, at most.
    """
    import numpy as np

    at = {row: position for position, row in enumerate(examples.ids)}
    answers = {
        name: dict(zip(other.rows.tolist(), other.predicted.tolist(), strict=True))
        for name, other in others.items()
    }
    predicted, confidence = predictions.predicted, predictions.confidence
    wrong = np.flatnonzero(~predictions.correct)
    order = wrong[np.lexsort((predictions.rows[wrong], -confidence[wrong]))][:count]
    return tuple(
        Mistake(
            row=row,
            source=examples.sources[at[row]],
            text=_shortened(examples.texts[at[row]]),
            truth=label_names[predictions.labels[position]],
            predicted=label_names[predicted[position]],
            confidence=float(confidence[position]),
            others={name: label_names[found[row]] for name, found in answers.items() if row in found},
        )
        for position, row in ((int(position), int(predictions.rows[position])) for position in order)
    )


def top_confusions(predictions: Predictions, label_names: Sequence[str]) -> tuple[Confusion, ...]:
    """Return the most frequent pairs of true and wrongly predicted label."""
    import numpy as np

    matrix = confusion(predictions.labels, predictions.predicted, len(label_names))
    support = matrix.sum(axis=1)
    wrong = matrix - np.diag(matrix.diagonal())
    pairs = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSIONS]
    return tuple(
        Confusion(
            truth=label_names[truth],
            predicted=label_names[predicted],
            rows=int(wrong[truth, predicted]),
            share=float(wrong[truth, predicted] / support[truth]),
        )
        for truth, predicted in zip(*np.unravel_index(pairs, matrix.shape), strict=True)
        if wrong[truth, predicted]
    )


def _shortened(text: str) -> str:
    """Cut a long text."""
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
