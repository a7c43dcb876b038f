"""How much memory a training takes: of this process, or of the accelerator."""

from __future__ import annotations

import contextlib
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""Written to ``clear_refs``, resets the peak of the resident memory (proc(5))."""
KIB = 1024


class MemoryMeter:
    """Measures what a training takes on top of a model that is loaded already.

    Libraries, and what earlier steps in the same process left behind, don't count.

    Args:
        held: Bytes of the loaded model, which are part of what the training takes.
    """

    def __init__(self, held: int) -> None:
        self._before = _resident() - held

    def reset(self, device: str) -> None:
        """Forget the peak so far, where the system can."""
        if device == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()
            return
        with contextlib.suppress(OSError):
            CLEAR.write_text(RESET_PEAK, encoding="ascii")

    def growth(self, device: str) -> int:
        """Return the largest memory used since ``reset``, in bytes."""
        if device == "cuda":
            import torch

            return int(torch.cuda.max_memory_allocated())
        return max(0, _peak() - self._before)

    def kept(self, device: str) -> int:
        """Return the bytes that this process still holds of it, and would use again."""
        if device == "cuda":
            import torch

            return int(torch.cuda.memory_reserved())
        return max(0, _resident() - self._before)


def available_memory(device: str) -> int:
    """Return the bytes that are free now."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    import psutil

    return int(psutil.virtual_memory().available)


def _resident() -> int:
    """Return the memory of this process now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def _peak() -> int:
    """Return the peak since it was reset; since the process began, on systems without ``/proc``."""
    with contextlib.suppress(OSError):
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * KIB
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * KIB
