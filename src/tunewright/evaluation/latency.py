"""What an answer costs: milliseconds one by one, rows a second in batches."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from tunewright.evaluation.predictions import Scorer

WARM_UP = 8
"""Texts scored before the clock starts: first calls allocate memory and choose kernels."""
ROUNDS = 2
"""Times that each text is timed; its faster time counts, so that a neighbour's work on the machine doesn't."""


@dataclass(frozen=True, slots=True)
class Latency:
    """What an answer costs on the machine that measured it."""

    p50_ms: float
    """Median time of one text alone."""
    p95_ms: float
    """Time that 95 of 100 texts stay below, one text alone."""
    rows_per_second: float
    """Throughput with many texts given at once."""


def time_batches(scorer: Scorer, texts: Sequence[str]) -> tuple[np.ndarray, float]:
    """Score every text at once; return the logits and the rows a second."""
    scorer.logits(texts[:WARM_UP])
    start = time.perf_counter()
    logits = scorer.logits(texts)
    return logits, len(texts) / max(time.perf_counter() - start, 1e-9)


def time_one_by_one(scorer: Scorer, texts: Sequence[str], *, samples: int) -> tuple[float, float]:
    """Score single texts, spread evenly over short and long ones; return the median and 95th percentile in ms."""
    return time_side_by_side((scorer,), texts, samples=samples)[0]


def time_side_by_side(
    scorers: Sequence[Scorer], texts: Sequence[str], *, samples: int
) -> list[tuple[float, float]]:
    """Score the same single texts with several models in turn, so that what else the machine does hits all alike.

    Texts are chosen by rank of length, so that two calls time the same texts.

    Returns:
        For each model, the median and the 95th percentile in milliseconds.
    """
    import numpy as np

    by_length = sorted(range(len(texts)), key=lambda position: (len(texts[position]), texts[position]))
    chosen = np.linspace(0, len(by_length) - 1, num=min(samples, len(by_length))).round().astype(int)
    singles = [[texts[by_length[rank]]] for rank in chosen]
    for scorer in scorers:
        for single in singles[:WARM_UP]:
            scorer.logits(single)
    times = np.array(
        [[[_milliseconds(scorer, single) for scorer in scorers] for single in singles] for _ in range(ROUNDS)]
    )
    found = np.percentile(times.min(axis=0), [50, 95], axis=0)
    return [(float(p50), float(p95)) for p50, p95 in found.T]


def _milliseconds(scorer: Scorer, single: list[str]) -> float:
    """Time one call on the monotonic clock."""
    start = time.perf_counter_ns()
    scorer.logits(single)
    return (time.perf_counter_ns() - start) / 1e6
