"""How much memory a training takes: of this process, or of the accelerator."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path
from typing import ClassVar

from tunewright.data.dataset import Facts
from tunewright.support.memory import peak_bytes, resident_bytes
from tunewright.training.allocator import give_back

CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""Written to ``clear_refs``, resets the peak of the resident memory (proc(5))."""
MIB = 2**20


class MemoryParts(Facts):
    """What a training takes at its peak, in bytes, by what it is for."""

    weights: int
    """Of the base, trained or frozen, as they are held."""
    adapter: int
    """Weights beside those of the base, the only ones that are trained; 0 where all are."""
    gradients: int
    optimizer: int
    """AdamW's two averages of each trained weight."""
    best_weights: int
    """The copy of the best epoch's trained weights, in the process's own memory."""
    activations: int
    """What a batch of the training or of the validation holds beyond all this."""
    kernels: int
    """What the matrix library keeps of each shape of batch that it has met, on a CPU."""

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.model_dump().values())

    def describe(self) -> str:
        """Return one line for a person."""
        sizes = {name.replace("_", " "): size / MIB for name, size in self.model_dump().items() if size}
        return ", ".join(f"{name} {size:,.0f} MiB" for name, size in sizes.items())


class MemoryMeter:
    """Measures what a training takes on top of a model that is loaded already.

    Libraries, and what earlier steps in the same process left behind, don't count.

    Args:
        held: Bytes of the loaded model, which are part of what the training takes.
    """

    left: ClassVar[int] = 0
    """Bytes that forecasts in this process have left in the matrix library, where a training finds and needs them."""

    def __init__(self, held: int) -> None:
        self.held = held
        self._before = resident_bytes() - held

    def reset(self, device: str, *, with_left: bool = False) -> None:
        """Count from now, and forget the peak so far, where the system can.

        What others have freed is given back first: a training that takes it again would seem to need less.

        Args:
            device: What is trained on.
            with_left: Whether what forecasts have left counts as part of the training.
        """
        if device == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()
            return
        gc.collect()
        give_back()
        self._before = resident_bytes() - self.held - (self.left if with_left else 0)
        with contextlib.suppress(OSError):
            CLEAR.write_text(RESET_PEAK, encoding="ascii")

    def growth(self, device: str) -> int:
        """Return the largest memory used since ``reset``, in bytes."""
        if device == "cuda":
            import torch

            return int(torch.cuda.max_memory_allocated())
        return max(0, peak_bytes() - self._before)

    def kept(self, device: str) -> int:
        """Return the bytes that this process still holds of it, and would use again."""
        if device == "cuda":
            import torch

            return int(torch.cuda.memory_reserved())
        return max(0, resident_bytes() - self._before)


def available_memory(device: str) -> int:
    """Return the bytes that are free now."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    import psutil

    return int(psutil.virtual_memory().available)
