"""Batches of every width: a runtime's kernels may be right at one and wrong at the next (docs/engines.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, islice

from tunewright.engines.batching import rounded

WIDEST = 512
"""Tokens; a width beyond it costs more to try than it is likely to tell."""


def beside_every_width(
    ids: Sequence[Sequence[int]], limit: int
) -> Iterator[tuple[list[Sequence[int]], list[int]]]:
    """Give texts to be scored beside another one, of each width that batches are rounded to.

    Args:
        ids: Token ids of the probes.
        limit: Tokens that the model reads at most.

    Yields:
        The shortest probe and the longest that is shorter than the width, or else half of one; and a text so wide.
    """
    probes = sorted(ids, key=len)
    longest = probes[-1]
    for width in sorted({rounded(length, limit) for length in range(2, min(limit, WIDEST) + 1)}):
        shorter = [row for row in probes if len(row) < width] or [longest[: width // 2]]
        yield [shorter[0], shorter[-1]], list(islice(cycle(longest), width))
