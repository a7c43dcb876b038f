"""One of several processes that train a model: ``python -m tunewright.training.launch.worker job.json``.

Which one it is comes from the environment, under the names that torchrun uses (``RANK``, ``WORLD_SIZE``, …). The
process that starts it is ``launching.launch``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.support.environment import prepare_environment, quieten_libraries
from tunewright.support.errors import TunewrightError
from tunewright.training.launch.job import Job
from tunewright.training.launch.messages import Asking, Failure, FigureFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tunewright.config.schema import Recipe
    from tunewright.training.group import Group
    from tunewright.training.hardware import Hardware
    from tunewright.training.language.plan import LanguagePlan
    from tunewright.training.language.sft import ChatData

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others: the first writes checkpoints meanwhile."""
MEETING = "meeting"
"""The file through which the processes find each other; the launch makes its folder anew each time."""
PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that the death of the process that started this one sends."""


class Forgetful:
    """A recorder that records nothing: the first process does."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Take figures."""

    def table(self, name: str, rows: Sequence[Mapping[str, str]], step: int) -> None:
        """Take a table."""


def main() -> int:
    """Train, and leave the result or what went wrong in files."""
    spec, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    die_with_the_launcher()
    prepare_environment()
    quieten_libraries()
    try:
        run(Job.read(spec), spec.parent)
    except Exception as error:  # noqa: BLE001 -- the edge of a process: the launcher says it
        Failure.of(error, rank).write(spec.parent)
        (spec.parent / f"traceback-{rank}.txt").write_text(traceback.format_exc(), encoding="utf-8")
        return 1
    return 0


def run(job: Job, folder: Path) -> None:
    """Take part in a training until it ends.

    Args:
        job: What to train.
        folder: The launch's folder.

    Raises:
        TunewrightError: When fewer or more processes were started than the recipe asks for, or training fails.
    """
    with joined(job.recipe, folder) as group:
        take_part(job, folder, group)


def take_part(job: Job, folder: Path, group: Group) -> None:
    """Train together with the others of a group; the first leaves the result in the training's folder."""
    from tunewright.training.fitting import find_checkpoint, fit, hardware_of
    from tunewright.training.language.sft import ChatData, identity

    data = ChatData(job.train, job.validation, job.digest)
    own = job.workspace / identity(data, job.base, job.recipe, job.template)
    checkpoint = group.agree(find_checkpoint(own) if group.is_first else None)
    fit(
        _plan(job, data, hardware_of(checkpoint), group),
        own,
        FigureFile(folder) if group.is_first else Forgetful(),
        checkpoint=checkpoint,
        gives_up=Asking(folder) if job.gives_up and group.is_first else None,
    )


@contextmanager
def joined(recipe: Recipe, folder: Path) -> Iterator[Group]:
    """Meet the other processes: gloo between CPUs, NCCL between GPUs.

    Raises:
        TunewrightError: When there aren't as many as the recipe asks for.
    """
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if size != recipe.training.devices:
        raise TunewrightError(
            f"{size} process{'es' if size > 1 else ''} {'were' if size > 1 else 'was'} started,"
            f" but training.devices asks for {recipe.training.devices}",
            place="training.devices",
            mend="start the training through tunewright, which starts as many",
        )
    import torch
    from torch import distributed

    from tunewright.training.group import Group
    from tunewright.training.hardware import device_of
    from tunewright.training.launch.strategies import DEEPSPEED, strategy_of
    from tunewright.training.launch.zero import prepare_deepspeed

    on_gpu = device_of(recipe.training.device) == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    strategy = strategy_of(recipe)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        init_method=(folder / MEETING).as_uri(),
        rank=rank,
        world_size=size,
        timeout=PATIENCE,
    )
    try:
        if strategy in DEEPSPEED:
            prepare_deepspeed(is_first=rank == 0, on_gpu=on_gpu)
        yield Group(rank, size, strategy)
    finally:
        distributed.destroy_process_group()


def die_with_the_launcher() -> None:
    """Let the system end this process when the one that started it dies, whatever kills it (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _plan(job: Job, data: ChatData, known: Hardware | None, group: Group) -> LanguagePlan:
    """Prepare the training; the first looks at the machine while the others wait, so that they don't count as load.

    Args:
        job: What to train.
        data: Its rows.
        known: How the training computed before it was killed.
        group: The processes.
    """
    from tunewright.training.language.sft import prepare

    if not group.is_first:
        hardware = group.agree(known)
        return replace(
            prepare(data, job.base, job.recipe, hardware=hardware, template=job.template), group=group
        )
    plan = prepare(data, job.base, job.recipe, hardware=known, template=job.template)
    hardware = group.agree(known or _shared(plan.hardware, job.recipe, group.size))
    return replace(plan, hardware=hardware, group=group)


def _shared(hardware: Hardware, recipe: Recipe, processes: int) -> Hardware:
    """Divide the free cores among the processes; a number that was asked for is each one's."""
    if recipe.training.threads is not None or os.environ.get("OMP_NUM_THREADS"):
        return hardware
    return replace(hardware, threads=max(1, hardware.threads // processes))


if __name__ == "__main__":
    sys.exit(main())
