"""Peak memory of this process, or of the accelerator."""

from __future__ import annotations

import contextlib
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""Written to ``clear_refs``, resets the peak of the resident memory (proc(5))."""
KIB = 1024


def peak_memory(device: str) -> int:
    """Return the largest memory used since ``reset_peak_memory``, in bytes."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    with contextlib.suppress(OSError):
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * KIB
    return _peak_of_process()


def reset_peak_memory(device: str) -> None:
    """Forget the peak so far, where the system can."""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return
    with contextlib.suppress(OSError):
        CLEAR.write_text(RESET_PEAK, encoding="ascii")


def available_memory(device: str) -> int:
    """Return the bytes that a training could still take."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    import psutil

    return int(psutil.virtual_memory().available)


def _peak_of_process() -> int:
    """Return the peak since the process began, on systems without ``/proc``."""
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * KIB
