"""Batches of every width: a runtime's kernels may be right at one and wrong at the next (docs/engines.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, islice

from tunewright.engines.batching import rounded

WIDEST = 512
"""Tokens; a width beyond it costs more to try than it is likely to tell."""


def beside_every_width(
    ids: Sequence[Sequence[int]], limit: int
) -> Iterator[tuple[list[int], list[Sequence[int]]]]:
    """Put probes beside a text of each width that batches are rounded to.

    Args:
        ids: Token ids of the probes.
        limit: Tokens that the model reads at most.

    Yields:
        Positions of the shortest probe and of the longest that is shorter than the width, and a batch: these probes,
        then a text so wide.
    """
    order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
    longest = ids[order[-1]]
    for width in sorted({rounded(length, limit) for length in range(1, min(limit, WIDEST) + 1)}):
        shorter = [at for at in order if len(ids[at]) < width]
        if not shorter:
            continue
        probes = list(dict.fromkeys((shorter[0], shorter[-1])))
        yield probes, [*(ids[at] for at in probes), list(islice(cycle(longest), width))]
