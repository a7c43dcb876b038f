"""What machine this is, in words that a figure can be kept with."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
MODEL_NAME = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that a measurement was taken on."""

    processor: str
    cores: int
    """That this process may use."""
    memory_gib: float
    system: str


def describe_machine() -> Machine:
    """Look at this machine."""
    import psutil

    process = psutil.Process()
    allowed = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1
    return Machine(
        processor=_processor(),
        cores=allowed,
        memory_gib=round(psutil.virtual_memory().total / GIB, 1),
        system=f"{platform.system()} {platform.machine()}",
    )


def _processor() -> str:
    try:
        found = MODEL_NAME.search(CPUINFO.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
