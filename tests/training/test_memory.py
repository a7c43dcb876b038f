"""Memory is counted from where a training begins, whatever ran before, and by what it is for."""

from __future__ import annotations

import pytest

from tunewright.training.allocator import in_use
from tunewright.training.memory import MemoryMeter, MemoryParts
from tunewright.training.shapes import KEPT_PRODUCTS, PRODUCT_BYTES, kept_for_shapes

BLOCK, BLOCKS = 64 * 1024, 1000


@pytest.mark.skipif(in_use() == 0, reason="only glibc tells, and gives back what lies between other blocks")
def test_memory_that_others_have_freed_counts_again():
    blocks = [bytearray(BLOCK) for _ in range(2 * BLOCKS)]
    del blocks[::2]  # what is left keeps the holes from being given back
    meter = MemoryMeter(0)
    meter.reset("cpu")
    again = [bytearray(BLOCK) for _ in range(BLOCKS)]
    assert meter.growth("cpu") > 0.8 * BLOCK * BLOCKS
    assert len(blocks) == len(again)


def test_the_allocator_tells_what_is_taken_and_freed():
    before = in_use()
    if before == 0:
        pytest.skip("not glibc 2.33 or later")
    taken = [bytearray(BLOCK) for _ in range(BLOCKS)]
    assert in_use() - before == pytest.approx(BLOCK * BLOCKS, rel=0.05)
    del taken
    assert in_use() - before < 0.05 * BLOCK * BLOCKS


def test_parts_are_named_and_add_up():
    parts = MemoryParts(
        weights=3 * 2**20,
        adapter=0,
        gradients=2**20,
        optimizer=2**21,
        best_weights=0,
        activations=0,
        kernels=0,
    )
    assert parts.total == 6 * 2**20
    assert parts.describe() == "weights 3 MiB, gradients 1 MiB, optimizer 2 MiB"


def test_every_new_shape_of_batch_costs_until_the_library_forgets_the_oldest():
    kept = 3 * 10 * PRODUCT_BYTES  # ten products for each of three shapes

    def foreseen(computed, *, has_head=False):
        return kept_for_shapes(computed, kept, tried=(100, 200, 300), has_head=has_head)

    assert foreseen([100, 200, 300]) == kept
    few, many = foreseen(range(100, 110)), foreseen(range(100, 120))
    assert kept < few < many
    assert foreseen([100, 200, 300] * 5) == kept
    assert foreseen([100, 200, 300] * 5, has_head=True) > kept, "each batch has other tokens with loss"
    assert foreseen(range(100, 5000)) == foreseen(range(100, 9000)) >= KEPT_PRODUCTS * PRODUCT_BYTES
    assert kept_for_shapes(range(100, 5000), 1000, tried=(100, 200), has_head=True) == 1000, "another library"
