"""How far annotators agree: percent agreement, Cohen's kappa for two, Krippendorff's alpha for any number."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from tunewright.data.dataset import Facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TWO = 2
"""Agreement is a matter of two at least, and kappa of two exactly."""


class Agreement(Facts):
    """Agreement of annotators over the rows that several of them labelled."""

    annotators: dict[str, int]
    """Rows that each has labelled."""
    rows: int
    """Rows with labels of two annotators or more."""
    percent: float | None
    """Mean share of pairs of annotators, row by row, that give the same label."""
    kappa: float | None
    """Cohen's kappa; None unless there are two annotators, and where chance alone would agree always."""
    alpha: float | None
    """Krippendorff's alpha for nominal data; None where only one label was given."""


def agreement(votes: Mapping[str, Mapping[str, str]]) -> Agreement:
    """Measure agreement.

    Args:
        votes: Row to annotator to label; rows need not have the same annotators.
    """
    annotators = Counter(name for given in votes.values() for name in given)
    several = {row: given for row, given in votes.items() if len(given) >= TWO}
    return Agreement(
        annotators=dict(annotators.most_common()),
        rows=len(several),
        percent=_percent([Counter(given.values()) for given in several.values()]),
        kappa=_kappa([[*given.values()] for given in _aligned(several)]) if len(annotators) == TWO else None,
        alpha=krippendorff_alpha(given.values() for given in several.values()),
    )


def krippendorff_alpha(rows: Iterable[Iterable[str]]) -> float | None:
    """Return Krippendorff's alpha for nominal data with any number of labels a row.

    One less the disagreement observed over the disagreement expected by chance, both counted on the coincidences of
    labels within rows (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

    Args:
        rows: The labels of each row; rows with fewer than two say nothing and are passed over.

    Returns:
        1 for perfect agreement, 0 for chance, below for less; None where nothing can be said: no row with two labels,
        or one label everywhere.
    """
    totals: Counter[str] = Counter()
    observed = 0.0
    for labels in rows:
        counts = Counter(labels)
        given = counts.total()
        if given < TWO:
            continue
        totals.update(counts)
        observed += (given**2 - sum(count**2 for count in counts.values())) / (given - 1)
    given = totals.total()
    expected = given**2 - sum(count**2 for count in totals.values())
    return 1 - (given - 1) * observed / expected if expected else None


def _percent(rows: list[Counter[str]]) -> float | None:
    """Return the mean share of agreeing pairs."""
    shares = [
        sum(math.comb(count, 2) for count in counts.values()) / math.comb(counts.total(), 2)
        for counts in rows
    ]
    return sum(shares) / len(shares) if shares else None


def _aligned(several: Mapping[str, Mapping[str, str]]) -> list[dict[str, str]]:
    """Put the annotators of each row in one order."""
    return [dict(sorted(given.items())) for given in several.values()]


def _kappa(pairs: list[list[str]]) -> float | None:
    """Return Cohen's kappa over pairs of labels; None where it is undefined."""
    from sklearn.metrics import cohen_kappa_score

    if not pairs or len({label for pair in pairs for label in pair}) == 1:
        return None
    first, second = zip(*pairs, strict=True)
    return float(cohen_kappa_score(first, second))
