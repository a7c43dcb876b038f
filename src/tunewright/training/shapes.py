"""What the matrix library keeps of each shape of product that it has met.

oneDNN, which computes a CPU's bf16 products and, where PyTorch's precision "medium" is taken, those of fp32, prepares a
product for its shape and keeps up to 1,024 of them. Batches of many lengths make many shapes: for a model of a few
megabytes that is more than all its weights and activations. The allocator can't move what is kept, so it also leaves
holes between later activations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tunewright.models.language.heads import POSITIONS
from tunewright.training.plan import TOKENS_AT_ONCE

PRODUCT_BYTES = 550_000
"""Of one prepared product: the allocator's growth over 1,024 of them (torch 2.13 on an AMD EPYC with avx512_bf16)."""
KEPT_PRODUCTS = 1024
"""oneDNN's default (``ONEDNN_PRIMITIVE_CACHE_CAPACITY``)."""
HEAD_PRODUCTS = 3
"""Forward pass, gradient of the input, gradient of the weights: the output layer's, whose rows are the tokens with
loss, a multiple of ``POSITIONS``, and so differ from batch to batch even where the lengths are the same."""
HOLES = 1.4
"""Resident bytes for each byte more: 1.26 and 1.47 in two recipes of ``benchmarks/forecast.py``, same machine."""


def kept_for_shapes(computed: Sequence[int], kept: int, *, tried: Sequence[int], has_head: bool) -> int:
    """Return the bytes that a whole training leaves in the matrix library, holes beside them included.

    Args:
        computed: Computed tokens of each batch of the training: those with as many count as one shape.
        kept: Bytes that some batches have left.
        tried: Computed tokens of these.
        has_head: Whether there is an output layer for each token with loss.
    """
    known = set(tried)
    if kept < len(known) * PRODUCT_BYTES:  # another library, which keeps nothing
        return kept
    shapes = set(computed)
    counts = min(len(computed) - len(shapes), max(computed) // POSITIONS) if has_head else 0
    again = counts * HEAD_PRODUCTS * PRODUCT_BYTES
    whole = kept * _pieces(shapes) // _pieces(known) + again
    return kept + int(HOLES * max(0, min(whole, KEPT_PRODUCTS * PRODUCT_BYTES) - kept))


def _pieces(computed: Iterable[int]) -> int:
    """Return about how many pieces batches are cut into: each has a shape of its own."""
    return sum(math.ceil(tokens / TOKENS_AT_ONCE) for tokens in computed)
