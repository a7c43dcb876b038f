"""What machine this is, in words that a figure can be kept with."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path

from tunewright.support.digests import digest_bytes

CPUINFO = Path("/proc/cpuinfo")
MODEL_NAME = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)
INSTRUCTIONS = re.compile(r"^(?:flags|Features)\s*:\s*(.+)$", re.MULTILINE)
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


def processor_mark() -> str:
    """Return what tells processors apart on which a library may choose other kernels: name, digest of instruction sets.

    Virtual machines with and without AMX have the same name.
    """
    found = INSTRUCTIONS.search(_cpuinfo())
    return f"{_processor()} {digest_bytes(found[1].encode())[:8]}" if found else _processor()


def _processor() -> str:
    found = MODEL_NAME.search(_cpuinfo())
    return found[1].strip() if found else platform.processor() or platform.machine()


def _cpuinfo() -> str:
    """Read what Linux says of the processor; nothing elsewhere."""
    try:
        return CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
