"""Memory that stays mapped between the steps of a training.

glibc's allocator asks the system for every large tensor and gives it back as soon as it is freed (mallopt(3)), so that
each step faults its activations and gradients in anew, page by page. ``docs/performance.md`` has what that costs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# Names and values as in mallopt(3).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
KEEP_BYTES = (1 << 31) - 1
GROW_BYTES = 64 * 2**20
# Raising M_MMAP_THRESHOLD would have no effect: glibc takes at most 32 MiB, and the largest tensors count most.
KEEPING = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: KEEP_BYTES, M_TOP_PAD: GROW_BYTES}
USUAL = {M_MMAP_MAX: 65_536, M_TRIM_THRESHOLD: 128 * 1024, M_TOP_PAD: 128 * 1024}


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let freed memory stay in this process inside the block, and give it back at the end; glibc only."""
    library = _glibc()
    if library is None:
        yield
        return
    try:
        _set(library, KEEPING)
        yield
    finally:
        _set(library, USUAL)
        library.malloc_trim(0)


def give_back() -> None:
    """Give memory that was freed back to the system, also from between blocks that are in use; glibc only."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def in_use() -> int:
    """Return the bytes that this process has taken from the allocator and not freed; 0 where that isn't told."""
    library = _glibc()
    if library is None or not hasattr(library, "mallinfo2"):  # glibc 2.33 has it
        return 0
    library.mallinfo2.restype = _Statistics
    return int(library.mallinfo2().uordblks)


class _Statistics(ctypes.Structure):
    """What mallinfo2(3) returns: ten sizes, the eighth of them of all blocks in use."""

    _fields_ = (*((f"_{at}", ctypes.c_size_t) for at in range(7)), ("uordblks", ctypes.c_size_t),
                *((f"_{at}", ctypes.c_size_t) for at in range(8, 10)))  # fmt: skip


def _set(library: ctypes.CDLL, options: dict[int, int]) -> None:
    for option, value in options.items():
        library.mallopt(option, value)


def _glibc() -> ctypes.CDLL | None:
    """Return the C library when it is glibc, which alone has all of this."""
    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return library if hasattr(library, "gnu_get_libc_version") else None
