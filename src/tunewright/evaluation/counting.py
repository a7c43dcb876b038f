"""Accuracy and F1 of answers that stream by: three counts a label are all that is kept."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tunewright.data.dataset import Facts
from tunewright.evaluation.metrics import ratio

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SHOWN_LABELS = 100
"""Unknown labels that are counted by name; a column that holds something else has a new one in every row."""


class Measured(Facts):
    """Figures over the rows whose true label the model knows, by the conventions of ``evaluation.metrics``."""

    rows: int
    accuracy: float
    f1_macro: float
    f1: dict[str, float]


class Count:
    """Counts answers and, where the truth is known, how right they are.

    Args:
        label_names: What the model can answer.
    """

    def __init__(self, label_names: Sequence[str]) -> None:
        self._names = tuple(label_names)
        self._known = frozenset(label_names)
        self._right: Counter[str] = Counter()
        self._true: Counter[str] = Counter()
        self._said: Counter[str] = Counter()
        self.rows = 0
        self.answers: Counter[str] = Counter()
        """Rows by answer."""
        self.unknown: Counter[str] = Counter()
        """Rows by true labels that the model doesn't know; those beyond the first hundred are left out."""

    def add(self, answers: Iterable[str], truths: Iterable[str | None]) -> None:
        """Count answers beside their true labels."""
        for answer, truth in zip(answers, truths, strict=True):
            self.rows += 1
            self.answers[answer] += 1
            if truth in self._known and truth is not None:
                self._true[truth] += 1
                self._said[answer] += 1
                self._right[truth] += answer == truth
            elif truth is not None and (truth in self.unknown or len(self.unknown) < SHOWN_LABELS):
                self.unknown[truth] += 1

    def measured(self) -> Measured | None:
        """Return the figures; None when no row has a true label that the model knows."""
        import numpy as np

        rows = self._true.total()
        if not rows:
            return None
        right, true, said = (
            np.array([each[name] for name in self._names]) for each in (self._right, self._true, self._said)
        )
        f1 = ratio(2 * right, true + said)
        used = (true + said) > 0
        return Measured(
            rows=rows,
            accuracy=float(right.sum() / rows),
            f1_macro=float(f1[used].mean()),
            f1={
                name: float(value)
                for name, value, counts in zip(self._names, f1, used, strict=True)
                if counts
            },
        )
