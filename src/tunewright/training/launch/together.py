"""What the Trainer does otherwise where several processes train one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunewright.training.launch.sharing import OwnBatches, RowsWithSilent
from tunewright.training.launch.strategies import accelerator_options

if TYPE_CHECKING:
    import torch

    from tunewright.training.group import Group
    from tunewright.training.plan import Plan


def own_loader(plan: Plan, device: torch.device) -> Any:  # noqa: ANN401
    """Return a loader over this process's batches.

    Accelerate would deal batches out in turn and fill the last round up with rows seen already, which then count
    twice; it is therefore told that there is one process.
    """
    from accelerate.data_loader import prepare_data_loader
    from torch.utils.data import DataLoader

    loader: DataLoader[Any] = DataLoader(
        RowsWithSilent(plan.train),  # type: ignore[arg-type]
        batch_sampler=OwnBatches(plan.batches, plan.group),
        collate_fn=plan.padding,
    )
    return prepare_data_loader(
        loader, device=device, num_processes=1, process_index=0, put_on_device=True, rng_types=[]
    )


def accelerator_arguments(arguments: dict[str, Any], group: Group) -> dict[str, Any]:
    """Return the arguments of an ``Accelerator``, with the group's strategy where there are several processes."""
    return arguments | accelerator_options(group.strategy) if group.size > 1 else arguments


def allow_fsdp_on_cpu(trainer: Any, group: Group) -> None:  # noqa: ANN401
    """Make Accelerate take its FSDP2 path on CPUs, where it would fall back to DDP without a word.

    Accelerate 1.15 switches to FSDP for accelerators alone (``AcceleratorState.__init__``), though what it calls then,
    ``fully_shard``, works with gloo. Its own preparation, gradient clipping and checkpoints run as on a GPU.
    """
    from accelerate.utils import DistributedType

    accelerator = trainer.accelerator
    if group.size == 1 or group.strategy != "fsdp2" or accelerator.device.type != "cpu":
        return
    state = accelerator.state
    state.distributed_type = DistributedType.FSDP
    state.fsdp_plugin = accelerator_options(group.strategy)["fsdp_plugin"]
    if accelerator.mixed_precision != "no":
        state.fsdp_plugin.set_mixed_precision(accelerator.mixed_precision)
    trainer.is_fsdp_enabled = True
