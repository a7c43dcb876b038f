"""How a shadow's answers compare with those that were given: labels and logits, or token by token."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.models.classifier import Prediction

LEAST_SHARE = 1e-30
"""Smaller probabilities count as this one, which keeps their logarithm finite."""


@dataclass(frozen=True, slots=True)
class Labels:
    """A classifier's answers to one request, compared."""

    texts: int
    agreeing: int
    """Texts with the same label."""
    largest_difference: float
    """Of a logit."""

    @classmethod
    def compare(cls, old: Sequence[Prediction], new: Sequence[Prediction]) -> Labels:
        """Compare the answers to the same texts, in the same order."""
        pairs = list(zip(old, new, strict=True))
        agreeing = sum(one.label == other.label for one, other in pairs)
        return cls(len(pairs), agreeing, max(logit_difference(one, other) for one, other in pairs))


@dataclass(frozen=True, slots=True)
class Writings:
    """A language model's answers to one request, compared."""

    answers: int
    agreeing: int
    """Answers of which every token is the same."""
    tokens: int
    """Of the answers that were given."""
    same_tokens: int
    """Of them, those before the first that differs."""

    @classmethod
    def compare(cls, old: Sequence[Sequence[int]], new: Sequence[Sequence[int]]) -> Writings:
        """Compare token ids, as far as the old answers go; what the new ones say behind that counts for nothing."""
        same = [_same(one, other) for one, other in zip(old, new, strict=True)]
        agreeing = sum(count == len(one) for count, one in zip(same, old, strict=True))
        return cls(len(old), agreeing, sum(map(len, old)), sum(same))


Compared = Labels | Writings


@dataclass(eq=False, slots=True)
class Shadow:
    """What was compared since it was opened: the first half of a classifier, the second of a language model."""

    texts: int = 0
    agreeing: int = 0
    """Texts with the same label, or answers with the same tokens."""
    largest_difference: float = 0.0
    """Of a logit."""
    answers: int = 0
    tokens: int = 0
    same_tokens: int = 0
    skipped: int = 0
    """Requests that it wasn't asked, for it was behind."""

    def add(self, found: Compared) -> None:
        """Count the answers to one request."""
        self.agreeing += found.agreeing
        if isinstance(found, Labels):
            self.texts += found.texts
            self.largest_difference = max(self.largest_difference, found.largest_difference)
        else:
            self.answers += found.answers
            self.tokens += found.tokens
            self.same_tokens += found.same_tokens


def logit_difference(one: Prediction, other: Prediction) -> float:
    """Return the largest difference of a logit; what all logits of a text share cancels out in its answer."""
    if one.probabilities.keys() != other.probabilities.keys():
        return math.inf
    first, second = _centred(one), _centred(other)
    return max(abs(first[name] - second[name]) for name in first)


def _centred(prediction: Prediction) -> dict[str, float]:
    logs = {name: math.log(max(share, LEAST_SHARE)) for name, share in prediction.probabilities.items()}
    mean = sum(logs.values()) / len(logs)
    return {name: each - mean for name, each in logs.items()}


def _same(old: Sequence[int], new: Sequence[int]) -> int:
    """Return how many tokens are the same before the first that differs."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(old), len(new)))
