"""Several client processes, one core each, that begin at the same moment."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing.connection import Connection as Pipe
from typing import TYPE_CHECKING, Any

from tunewright.serving.bench.driving import Share, drive, run_loop
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.serving.bench.profile import Profile
    from tunewright.serving.bench.samples import Taken

READY_S = 120.0
"""For all processes to import and connect."""
GRACE_S = 30.0
"""Beyond the run and its last answer's timeout."""
SEEDS_APART = 1_000_003


def parts_of(profile: Profile) -> list[Profile]:
    """Split a profile's rate and connections among its processes."""
    count = min(profile.processes, profile.connections)
    rate = profile.rate if profile.rate == "max" else profile.rate / count
    return [
        profile.model_copy(
            update={
                "rate": rate,
                "connections": profile.connections // count + (number < profile.connections % count),
                "seed": profile.seed + number * SEEDS_APART,
            }
        )
        for number in range(count)
    ]


def drive_all(shares: Sequence[Share]) -> list[Taken]:
    """Do each share in a process of its own; a single one in this process.

    Raises:
        TunewrightError: When a process ends before its time.
    """
    if len(shares) == 1:
        return [run_loop(drive(shares[0]))]
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in shares]
    workers = [
        context.Process(target=_work, args=(share, theirs), daemon=True)
        for share, (_, theirs) in zip(shares, pipes, strict=True)
    ]
    try:
        for worker, (_, theirs) in zip(workers, pipes, strict=True):
            worker.start()
            theirs.close()
        ours = [pipe for pipe, _ in pipes]
        for pipe in ours:
            _receive(pipe, READY_S)
        for pipe in ours:
            pipe.send("go")
        longest = shares[0].profile.total_s + shares[0].profile.timeout_s + GRACE_S
        return [_receive(pipe, longest) for pipe in ours]
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _receive(pipe: Pipe, seconds: float) -> Any:  # noqa: ANN401 - what the other end sends
    try:
        if pipe.poll(seconds):
            return pipe.recv()
    except EOFError:
        pass
    raise TunewrightError("a client process ended before its time", mend="try with fewer --processes")


def _work(share: Share, pipe: Pipe) -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent ends its workers

    def start() -> None:
        pipe.send("ready")
        pipe.recv()

    pipe.send(run_loop(drive(share, start)))
