"""Whether there is room for a second copy in memory."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tunewright.engines.copies import copy_bytes

CGROUP = Path("/sys/fs/cgroup")
MIB = 1 << 20


def shortage(folder: Path, worker_bytes: int) -> str:
    """Say how memory is short for another worker; empty when it is not plainly so.

    Args:
        folder: The copy that is to be opened.
        worker_bytes: What the present worker takes: another of its kind takes about as much.
    """
    needed = max(copy_bytes(folder), worker_bytes)
    free = free_bytes()
    return "" if free >= needed else f"{free // MIB:,} MiB of memory are free, it needs {needed // MIB:,} MiB"


def free_bytes() -> int:
    """Return the memory that can be had: of the machine, or of the container where that has less."""
    import psutil

    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):  # no such container, or no limit ("max")
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        lines = (CGROUP / "memory.stat").read_text().splitlines()
        cache = next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
        free = min(free, limit - used + cache)
    return free
