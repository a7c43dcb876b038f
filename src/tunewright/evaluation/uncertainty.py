"""Which texts are worth a label: those that the model is least sure of, spread out, beside a random control share.

The scores are the usual ones of uncertainty sampling (Settles 2009, "Active Learning Literature Survey", section 3.1).
The diverse pick clusters the most uncertain texts, weighed by their uncertainty, and takes the one nearest to each
centre (Zhdanov 2019, arXiv:1901.05954).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from tunewright.evaluation.predictions import log_softmax

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    Positions = npt.NDArray[np.int64]

Strategy = Literal["diverse", "margin", "least_confidence", "entropy", "random"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
CANDIDATES = 10
"""Uncertain texts looked at for each one that the diverse pick takes: the paper's smallest."""
MOST_CANDIDATES = 20_000
"""Bound on them, because each has to go through the encoder once more."""
LEAST_WEIGHT = 1e-6
"""A text of which the model is wholly sure still has a place in a cluster."""


@dataclass(frozen=True, slots=True)
class Picks:
    """Chosen texts."""

    positions: Positions
    """Where they stand in the pool, ascending."""
    control: npt.NDArray[np.bool_]
    """Which of them were drawn at random from the whole pool."""


def uncertainty(logits: np.ndarray, strategy: Strategy) -> npt.NDArray[np.float64]:
    """Score how unsure a model is of each text.

    Args:
        logits: float (texts, labels), at least one label.
        strategy: ``least_confidence``: 1 less the highest probability. ``margin``: 1 less the distance between the two
            highest. ``entropy``: that of the probabilities, as a share of the highest possible. ``diverse`` and
            ``random`` are scored by the margin.

    Returns:
        Float64 (texts,), between 0 (sure) and 1.
    """
    import numpy as np

    labels = logits.shape[1]
    if labels == 1:
        return np.zeros(len(logits))
    logs = log_softmax(logits).astype(np.float64)
    shares = np.exp(logs)
    if strategy == "entropy":
        terms = np.where(shares > 0, shares * logs, 0.0)
        scores = -terms.sum(axis=1) / math.log(labels)
    elif strategy == "least_confidence":
        scores = 1 - shares.max(axis=1)
    else:
        second, first = np.partition(shares, labels - 2, axis=1)[:, -2:].T
        scores = 1 - (first - second)
    bounded: npt.NDArray[np.float64] = np.clip(scores, 0.0, 1.0)
    return bounded


def pick(
    scores: npt.NDArray[np.float64],
    free: Positions,
    *,
    rows: int,
    strategy: Strategy,
    random_share: float,
    seed: int,
    embed: Callable[[Positions], np.ndarray],
) -> Picks:
    """Choose texts to label.

    The control share is drawn first, from all free texts: what is measured on it holds for the pool, which can't be
    said of texts that were chosen for being hard.

    Args:
        scores: Uncertainty of every text of the pool.
        free: Positions that may be taken.
        rows: How many; all free ones when there are fewer.
        strategy: How the others are chosen; equal scores are taken in random order.
        random_share: Share drawn at random, between 0 and 1; rounded up.
        seed: Makes the choice repeatable.
        embed: Gives a vector for each of some positions, (texts, width); only ``diverse`` asks.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    shuffled = random.permutation(free)[:rows] if strategy == "random" else random.permutation(free)
    if strategy == "random":
        return _picks(shuffled, shuffled[:0])
    rows = min(rows, len(free))
    control = min(rows, math.ceil(random_share * rows - 1e-9))
    rest = shuffled[control:]
    ranked = rest[np.argsort(-scores[rest], kind="stable")]
    wanted = rows - control
    if strategy == "diverse" and 0 < wanted < len(ranked):
        chosen = _spread(scores, ranked, wanted, seed, embed)
    else:
        chosen = ranked[:wanted]
    return _picks(shuffled[:control], chosen)


def _picks(control: Positions, chosen: Positions) -> Picks:
    """Put both kinds in the order of the pool."""
    import numpy as np

    positions = np.concatenate([control, chosen]).astype(np.int64)
    order = np.argsort(positions)
    return Picks(positions[order], (np.arange(len(positions)) < len(control))[order])


def _spread(
    scores: npt.NDArray[np.float64],
    ranked: Positions,
    wanted: int,
    seed: int,
    embed: Callable[[Positions], np.ndarray],
) -> Positions:
    """Cluster the most uncertain texts and take the one nearest to each centre; gaps are filled by rank."""
    import numpy as np
    from sklearn.cluster import KMeans

    most = max(wanted, min(MOST_CANDIDATES, CANDIDATES * wanted))
    candidates = ranked[:most]
    vectors = np.asarray(embed(candidates), dtype=np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    weights = np.maximum(scores[candidates], LEAST_WEIGHT)
    clusters = KMeans(wanted, n_init=1, random_state=seed)
    distances = clusters.fit_transform(vectors, sample_weight=weights)
    own = distances[np.arange(len(candidates)), clusters.labels_]
    order = np.lexsort((own, clusters.labels_))
    _, first = np.unique(clusters.labels_[order], return_index=True)
    nearest = order[first]
    left = np.setdiff1d(np.arange(len(candidates)), nearest)  # ascending, so the most uncertain first
    taken: Positions = candidates[np.concatenate([nearest, left])[:wanted]]
    return taken
