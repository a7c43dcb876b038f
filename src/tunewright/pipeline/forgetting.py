"""What a retrained model gained on new rows and what it forgot on the old ones, beside the present champion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.data.additions import is_addition
from tunewright.data.dataset import Facts
from tunewright.evaluation.intervals import Interval, paired_difference

if TYPE_CHECKING:
    import numpy as np

    from tunewright.data.dataset import Dataset
    from tunewright.evaluation.predictions import Predictions

OLD = "the first data"
CONFIDENCE = 0.95


class Part(Facts):
    """Test rows that came at the same time, answered by both models."""

    name: str
    """``the first data``, or the labelled batch."""
    rows: int
    """Rows that both answered, and that the champion has not learned from."""
    challenger: float
    """Accuracy."""
    champion: float | None
    """Accuracy; ``None`` when there is no champion yet."""
    difference: Interval | None
    """Of the accuracies, challenger less champion, with a 95 % interval."""


def by_source(dataset: Dataset, challenger: Predictions, champion: Predictions | None) -> tuple[Part, ...]:
    """Compare two models on the test rows of the first data and of each labelled batch that came later.

    Args:
        dataset: Its test rows are those that were answered.
        challenger: Answers on all of them.
        champion: Answers on those that it has not learned from.

    Returns:
        The first data first; nothing where no batch has come yet.
    """
    test = dataset.examples("test")
    names = [source if is_addition(source) else OLD for source in test.sources]
    if not any(is_addition(source) for source in test.sources):
        return ()
    origin = dict(zip(test.ids, names, strict=True))
    common = set(challenger.rows.tolist()) if champion is None else set(champion.rows.tolist())
    parts = []
    for name in sorted(set(names), key=lambda each: (each != OLD, each)):
        wanted = {row for row in common if origin.get(row) == name}
        new = _correct(challenger, wanted)
        old = None if champion is None else _correct(champion, wanted)
        if len(new):
            parts.append(_part(name, new, old))
    return tuple(parts)


def describe(part: Part) -> str:
    """Put one part into a line for a person."""
    if part.champion is None or part.difference is None:
        return f"{part.name}: {part.challenger:.1%} of {part.rows:,} test rows right"
    low, high = part.difference.low, part.difference.high
    return (
        f"{part.name}: {part.champion:.1%} → {part.challenger:.1%} of {part.rows:,} test rows right"
        f" (difference {part.difference.value:+.1%}, {low:+.1%} to {high:+.1%})"
    )


def _correct(answers: Predictions, wanted: set[int]) -> np.ndarray:
    """Return whether each wanted row is right, in the order of row numbers."""
    import numpy as np

    order = np.argsort(answers.rows)
    mask = np.array([int(row) in wanted for row in answers.rows[order]], bool)
    right: np.ndarray = answers.correct[order][mask]
    return right


def _part(name: str, new: np.ndarray, old: np.ndarray | None) -> Part:
    rows = len(new)
    if old is None:
        return Part(name=name, rows=rows, challenger=float(new.mean()), champion=None, difference=None)
    wins, losses = int((new & ~old).sum()), int((~new & old).sum())
    return Part(
        name=name,
        rows=rows,
        challenger=float(new.mean()),
        champion=float(old.mean()),
        difference=paired_difference(wins, losses, rows, confidence=CONFIDENCE),
    )
