"""DeepSpeed among processes that have met already, and its compiled parts without the lock that a kill leaves."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from tunewright.support.locks import locked

BUILDS = Path("~/.cache/tunewright/torch-extensions")
"""Where DeepSpeed's parts for this torch lie; a place of our own, so that its locks are ours to judge."""
LONGEST_LOAD_S = 30.0
"""A part that is compiled already is loaded, lock included, in far less."""


def prepare_deepspeed(*, is_first: bool, on_gpu: bool) -> None:
    """Let DeepSpeed take part in the process group; all processes must ask.

    On a CPU it compiles a part of its own the first time, which takes minutes. Torch guards that with a lock file, and
    a process that was killed meanwhile leaves it behind: the next one would wait for ever. The first process therefore
    compiles under a lock that the system frees, and clears what lies there from before.

    Args:
        is_first: Whether this process compiles.
        on_gpu: Whether processes talk through NCCL, else gloo.
    """
    from torch import distributed

    os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(BUILDS.expanduser()))
    if not on_gpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
        if is_first:
            _compile(Path(os.environ["TORCH_EXTENSIONS_DIR"]))
        distributed.barrier()
    import deepspeed

    deepspeed.init_distributed("nccl" if on_gpu else "gloo", auto_mpi_discovery=False, verbose=False)


def clear_stale_locks(builds: Path) -> None:
    """Remove lock files that nobody holds any more; whoever calls this has locked all compiling out."""
    for lock in builds.glob("*/lock"):
        while _age(lock) < LONGEST_LOAD_S:
            time.sleep(1.0)
        lock.unlink(missing_ok=True)


def _compile(builds: Path) -> None:
    """Compile what DeepSpeed needs to talk between CPUs, where it isn't there yet."""
    with locked(builds / ".compiling", what="DeepSpeed's compiler"):
        clear_stale_locks(builds)
        from deepspeed.accelerator import get_accelerator

        builder = get_accelerator().create_op_builder("ShareMemCommBuilder")
        if builder is not None and builder.is_compatible():
            builder.load(verbose=False)


def _age(path: Path) -> float:
    """Return the seconds since a file was written; infinity when it is gone."""
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime
    return float("inf")
