"""How much figures would move with other rows, and how often chance alone would make such a difference.

Intervals come from the bootstrap over rows, paired between models (Efron and Tibshirani 1993; Koehn 2004,
"Statistical Significance Tests for Machine Translation Evaluation"). The p value comes from approximate
randomization: were both models equally good, either could have given each of a row's two answers (Noreen 1989;
Riezler and Maxwell 2005, W05-0908). It holds with few differing rows, where a p value read off the bootstrap doesn't.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tunewright.evaluation.bootstrap import CHUNK, draws
from tunewright.evaluation.intervals import Interval
from tunewright.evaluation.language.figures import METRIC_NAMES, MetricName, Scored, from_sums

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

SLACK = 1e-9
"""Differences this close are the same, whatever order sums were rounded in; a share of the observed one."""


def resampled_figures(
    models: Sequence[Scored], *, samples: int, seed: int, metrics: Sequence[MetricName] = METRIC_NAMES
) -> tuple[dict[MetricName, Numbers], ...]:
    """Measure models on the same bootstrap samples of rows.

    Args:
        models: Scored on the same rows in the same order.
        samples: Number of resamples.
        seed: Makes the draws repeatable; the order of rows doesn't matter.
        metrics: Which figures.

    Returns:
        By model and figure float64 (samples,), NaN where it applies to no row drawn; position i of each comes from
        the same resample.
    """
    import numpy as np

    order = in_order(models[0])
    tables = [_table(model, metrics)[order] for model in models]
    parts: list[list[Numbers]] = [[] for _ in models]
    for draw in draws(np.ones(len(order), dtype=np.int64), samples=samples, seed=seed):
        wide = draw.astype(np.float64)
        for table, found in zip(tables, parts, strict=True):
            found.append(wide @ table)
    return tuple(
        {name: from_sums(name, sums) for name, sums in _cut(np.concatenate(found), model, metrics)}
        for model, found in zip(models, parts, strict=True)
    )


def chance_differences(
    a: Scored, b: Scored, *, samples: int, seed: int, metrics: Sequence[MetricName] = METRIC_NAMES
) -> dict[MetricName, Numbers]:
    """Return the differences (a minus b) that come about when each row's two answers are dealt out by chance.

    Args:
        a: One model.
        b: Another, scored on the same rows in the same order.
        samples: Number of deals.
        seed: Makes them repeatable; the order of rows doesn't matter.
        metrics: Which figures.

    Returns:
        By figure float64 (samples,).
    """
    import numpy as np

    order = in_order(a)
    first, second = _table(a, metrics)[order], _table(b, metrics)[order]
    change, total = second - first, first.sum(axis=0) + second.sum(axis=0)
    dealt = [first.sum(axis=0) + swaps @ change for swaps in _swaps(len(order), samples=samples, seed=seed)]
    sums = np.concatenate(dealt)
    pairs = zip(_cut(sums, a, metrics), _cut(total - sums, b, metrics), strict=True)
    return {name: from_sums(name, mine) - from_sums(name, yours) for (name, mine), (_, yours) in pairs}


def p_values(observed: float, by_chance: Numbers) -> tuple[float, float]:
    """Return how often chance makes a difference at least as large: in either direction, and upwards.

    The observed deal counts as one of them, so that p is never 0 and the test never too sure.
    """
    import numpy as np

    drawn = by_chance[~np.isnan(by_chance)]
    least = SLACK * max(1.0, abs(observed))
    either = int((np.abs(drawn) >= abs(observed) - least).sum())
    upwards = int((drawn >= observed - least).sum())
    return (either + 1) / (len(drawn) + 1), (upwards + 1) / (len(drawn) + 1)


def percentiles(value: float, resampled: Numbers, *, confidence: float) -> Interval:
    """Return the percentile interval around a figure, over the resamples in which it applies."""
    import numpy as np

    drawn = resampled[~np.isnan(resampled)]
    if not len(drawn):
        return Interval(value=value, low=value, high=value)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high))


def in_order(model: Scored) -> list[int]:
    """Return the positions of rows by file and number."""
    rows = model.answers.answers
    return sorted(range(len(rows)), key=lambda at: rows[at].key)


def _table(model: Scored, metrics: Sequence[MetricName]) -> Numbers:
    """Put what figures are made from side by side, (rows, all parts)."""
    import numpy as np

    return np.concatenate([model.sums[name] for name in metrics], axis=1)


def _cut(sums: Numbers, model: Scored, metrics: Sequence[MetricName]) -> Iterator[tuple[MetricName, Numbers]]:
    """Take apart what ``_table`` put side by side."""
    start = 0
    for name in metrics:
        end = start + model.sums[name].shape[1]
        yield name, sums[:, start:end]
        start = end


def _swaps(rows: int, *, samples: int, seed: int) -> Iterator[Numbers]:
    """Yield 0 or 1 by deal and row, float64 (some, rows); ``samples`` lines in all."""
    import numpy as np

    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK // max(1, rows))
    for start in range(0, samples, chunk):
        yield generator.integers(2, size=(min(chunk, samples - start), rows)).astype(np.float64)
