"""Start the processes of a training, watch them, and end them all when one fails."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.support.console import say
from tunewright.support.errors import InputError, TunewrightError
from tunewright.training.launch.messages import POLL_S, Failure
from tunewright.training.launch.strategies import strategy_of

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.training.launch.job import Job
    from tunewright.training.launch.messages import Forwarding

WORKER = "tunewright.training.launch.worker"
LOOPBACK = "127.0.0.1"
KILLING = frozenset({"SIGKILL", "SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE"})
"""Signals that end a process by themselves; SIGTERM comes from here, and SIGABRT from one that lost another."""
GRACE_S = 5
"""How long a process that was told to end may take; then it is killed."""


def launch(job: Job, processes: int, folder: Path, forwarding: Forwarding | None = None) -> None:
    """Train with several processes on this machine; results are in the training's folder of checkpoints.

    The first process writes to this one's terminal, the others into files. When one dies, all are ended within
    seconds; when this one dies, the system ends them (Linux).

    Args:
        job: What each of them is told.
        processes: How many to start.
        folder: For what they tell each other and for their output; made anew, and kept when something fails.
        forwarding: Takes figures while they come, and answers questions.

    Raises:
        InputError: When the machine has fewer GPUs than processes, or the strategy can't be had.
        TunewrightError: When a process fails, in its own words where it left any.
    """
    require_devices(job.recipe)
    strategy = strategy_of(job.recipe)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    spec = job.write(folder)
    say(f"training with {processes} processes ({strategy}); output of all but the first in {folder}")
    with _started(spec, processes, folder) as workers:
        while (ended := workers.wait(timeout=0)) is None:
            if forwarding:
                forwarding.forward()
            time.sleep(POLL_S)
        if forwarding:
            forwarding.forward()
    if ended.is_failed():
        raise _error({rank: each.exitcode for rank, each in ended.failures.items()}, processes, folder)
    shutil.rmtree(folder, ignore_errors=True)


def require_devices(recipe: Recipe) -> None:
    """Refuse a training that asks for more GPUs than there are.

    Raises:
        InputError: Then, and where the device is one that processes can't share.
    """
    from tunewright.training.hardware import device_of

    device, asked = device_of(recipe.training.device), recipe.training.devices
    if device == "cpu":
        return
    import torch

    there = torch.cuda.device_count() if device == "cuda" else 1
    if there < asked:
        raise InputError(
            f"asks for {asked}, and this machine has {there} {device} device{'s' if there > 1 else ''}",
            place="training.devices",
            mend=f"set it to {there}, or set training.device=cpu",
        )


@contextmanager
def _started(spec: Path, processes: int, folder: Path) -> Iterator[Any]:
    """Start the workers through torch's elastic API, and end them when the block ends, however it ends."""
    from torch.distributed.elastic.multiprocessing import (
        DefaultLogsSpecs,
        Std,
        start_processes,
    )

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)
    with _handlers_put_back():
        workers = start_processes(
            name="trainer",
            entrypoint=sys.executable,
            args={rank: ("-m", WORKER, str(spec)) for rank in range(processes)},
            envs=_environments(processes),
            logs_specs=DefaultLogsSpecs(
                log_dir=str(folder / "output"), redirects=dict.fromkeys(range(1, processes), Std.ALL)
            ),
        )
        try:
            yield workers
        finally:
            workers.close(timeout=GRACE_S)


@contextmanager
def _handlers_put_back() -> Iterator[None]:
    """Put signal handlers back, and let a signal that ended the workers have its usual effect here."""
    from torch.distributed.elastic.multiprocessing import SignalException

    names = os.environ.get("TORCHELASTIC_SIGNALS_TO_HANDLE", "SIGTERM,SIGINT,SIGHUP,SIGQUIT").split(",")
    numbers = [getattr(signal, name.strip()) for name in names if hasattr(signal, name.strip())]
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in numbers} if in_main_thread else {}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    try:
        yield
    except SignalException as stopped:
        put_back()
        signal.raise_signal(stopped.sigval)
        # Who handles the signal without ending this process has lost the training all the same.
        raise TunewrightError(f"ended by {stopped.sigval.name}", place="training", mend="run again") from None
    finally:
        put_back()


def _environments(processes: int) -> dict[int, dict[str, str]]:
    """Return each worker's environment, under the names that torchrun uses."""
    shared = {
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": LOOPBACK,
        "MASTER_PORT": str(_free_port()),
    }
    if sys.platform == "linux":
        shared["GLOO_SOCKET_IFNAME"] = os.environ.get("GLOO_SOCKET_IFNAME", "lo")
    return {rank: {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)}


def _free_port() -> int:
    with socket.socket() as held:
        held.bind((LOOPBACK, 0))
        port: int = held.getsockname()[1]
        return port


def _error(exits: dict[int, int], processes: int, folder: Path) -> TunewrightError:
    """Return the one error that stands for all: who fails first takes the others along.

    A process that was killed comes first, for the others notice it at once, in many words; then what one of them said,
    our own errors before others; a process that only lost another, or aborted, comes last.

    Args:
        exits: Exit code of each process that failed; a negative one is a signal.
        processes: How many there were.
        folder: Where they left their words.
    """
    mend = f"run again: it goes on from the last checkpoint; output in {folder}"
    told = [each for rank in range(processes) if (each := Failure.read(folder, rank))]
    told.sort(key=lambda each: (each.is_lost_peer, not each.is_foreseen, each.at))
    silent = {rank: code for rank, code in exits.items() if all(each.rank != rank for each in told)}
    killed = [rank for rank, code in silent.items() if code < 0 and signal.Signals(-code).name in KILLING]
    if killed or not told:
        rank = killed[0] if killed else next(iter(silent))
        return TunewrightError(
            f"process {rank + 1} of {processes} {_ending(silent[rank])}", place="training", mend=mend
        )
    first = told[0]
    if first.is_foreseen:
        kind = InputError if first.is_input else TunewrightError
        return kind(first.fact, place=first.place, mend=first.mend)
    return TunewrightError(
        f"process {first.rank + 1} of {processes} failed ({first.fact})", place="training", mend=mend
    )


def _ending(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}{', as happens when memory runs out' if name == 'SIGKILL' else ''}"
