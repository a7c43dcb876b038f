"""Batches of texts of like length within a budget of tokens, the order restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TOKEN_BUDGET = 1024
"""Padded tokens of a batch: beyond it a processor's caches overflow and throughput falls (docs/performance.md)."""
MAX_ROWS = 64
WIDEST_STEP = 16
"""Tokens that a width is rounded up by at most, which texts of 64 and more come to."""


def batches(
    lengths: Sequence[int], *, token_budget: int = TOKEN_BUDGET, max_rows: int = MAX_ROWS
) -> Iterator[list[int]]:
    """Give positions in batches, longest first, so that a lack of memory shows at once.

    Args:
        lengths: Tokens of each text.
        token_budget: Rows times the longest of them, at most; a text that is longer by itself goes alone.
        max_rows: Texts a batch, at most.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    start = 0
    while start < len(order):
        width = max(lengths[order[start]], 1)
        rows = max(1, min(max_rows, token_budget // width))
        yield order[start : start + rows]
        start += rows


def rounded(length: int, limit: int) -> int:
    """Round a length up to a quarter of the power of two below it: few widths, and a tenth of padding on average.

    Args:
        length: Tokens of a text.
        limit: What the model reads at most; never exceeded, for it may have no more positions.
    """
    step = min(WIDEST_STEP, max(1, (1 << length.bit_length()) // 8))
    return max(length, min(limit, -(-length // step) * step))


def padded(
    rows: Sequence[Sequence[int]], pad_id: int, side: str = "right", *, width: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return token ids and mask, each int64 (rows, width).

    Args:
        rows: Token ids of each text.
        pad_id: Stands where a text has no token.
        side: Where that is: ``right`` or ``left``.
        width: Of the batch; the longest text's, where that is longer.
    """
    import numpy as np

    width = max(width, *map(len, rows))
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for at, row in enumerate(rows):
        place = slice(width - len(row), None) if side == "left" else slice(len(row))
        ids[at, place] = row
        mask[at, place] = 1
    return ids, mask
