"""Intervals around shares, in closed form, and the plain ``Interval`` that every figure comes with."""

from __future__ import annotations

import math
from statistics import NormalDist

from tunewright.data.dataset import Facts


class Interval(Facts):
    """A figure and the range in which it would lie with other rows from the same source."""

    value: float
    low: float
    high: float


def share(right: float, rows: int, *, confidence: float) -> Interval:
    """Return a share with Wilson's score interval (1927), which holds at 0 and 1 too.

    Args:
        right: Rows that count; a half is a row that counts by half, for which the interval is wide enough too.
        rows: All rows.
        confidence: Level of the interval.
    """
    reach = normal_quantile(0.5 + confidence / 2)
    value, weight = right / rows, reach**2 / rows
    centre = (value + weight / 2) / (1 + weight)
    half = reach * math.sqrt(value * (1 - value) / rows + weight / (4 * rows)) / (1 + weight)
    # Rounding must not put the share itself outside.
    low, high = min(value, centre - half), max(value, centre + half)
    return Interval(value=value, low=max(0.0, low), high=min(1.0, high))


def paired_difference(wins: int, losses: int, rows: int, *, confidence: float) -> Interval:
    """Return a difference of two shares of the same rows, with Bonett and Price's adjusted Wald interval.

    2012, Journal of Educational and Behavioral Statistics 37:479. It holds with few wins and losses, or none.
    """
    gain, loss = (wins + 1) / (rows + 2), (losses + 1) / (rows + 2)
    reach = normal_quantile(0.5 + confidence / 2) * math.sqrt((gain + loss - (gain - loss) ** 2) / (rows + 2))
    centre, value = gain - loss, (wins - losses) / rows
    return Interval(
        value=value, low=max(-1.0, min(value, centre - reach)), high=min(1.0, max(value, centre + reach))
    )


def normal_quantile(probability: float) -> float:
    """Return the standard normal's quantile."""
    return NormalDist().inv_cdf(probability)
