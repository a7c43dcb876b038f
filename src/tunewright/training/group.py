"""The processes that train together, and the few things they tell each other.

One process alone is a group of one; everything here then costs nothing. Objects go through the group's CPU backend,
so that asking doesn't stall a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    import torch

Strategy = Literal["ddp", "fsdp2", "zero1", "zero2", "zero3"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Group:
    """This process's place among those that train together."""

    rank: int = 0
    size: int = 1
    strategy: Strategy = "ddp"

    @property
    def is_first(self) -> bool:
        """Whether this is the one that records, seals checkpoints and writes results."""
        return self.rank == 0

    @property
    def cuts_weights(self) -> bool:
        """Whether no process holds the whole model: each forward pass then needs all of them."""
        return self.size > 1 and self.strategy in {"fsdp2", "zero3"}

    @property
    def takes_batches_whole(self) -> bool:
        """Whether a batch must be one pass, because passes are counted: of all processes, or by DeepSpeed."""
        return self.size > 1 and self.strategy != "ddp"

    def agree(self, value: T) -> T:
        """Return what the first process gave; all must ask."""
        if self.size == 1:
            return value
        from torch import distributed

        told: list[Any] = [value]
        distributed.broadcast_object_list(told, src=0)
        answer: T = told[0]
        return answer

    def gather(self, value: T) -> list[T]:
        """Return what each process gave, in order of rank; all must ask."""
        if self.size == 1:
            return [value]
        from torch import distributed

        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value)
        return found

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.gather(None)

    def own(self, rows: int) -> list[int]:
        """Return this process's share of row positions, as many as every other's: some rows are taken twice."""
        share = -(-rows // self.size)
        return [(self.rank + self.size * at) % rows for at in range(share)]

    def join(self, positions: Sequence[int], values: Sequence[T], *, rows: int) -> list[T]:
        """Return the values of all rows from each process's share; all must ask.

        Args:
            positions: What ``own`` gave.
            values: One for each of them.
            rows: As given to ``own``.
        """
        found = {
            at: value
            for share in self.gather(list(zip(positions, values, strict=True)))
            for at, value in share
        }
        return [found[at] for at in range(rows)]


ALONE = Group()


def whole(parameter: Any) -> torch.Tensor:  # noqa: ANN401
    """Return a copy of a parameter on the CPU, put together from all processes where it is cut; all must ask."""
    from torch.distributed.tensor import DTensor

    if isinstance(parameter, DTensor):
        return parameter.full_tensor().detach().to("cpu", copy=True)
    if hasattr(parameter, "ds_id"):  # cut by DeepSpeed's ZeRO-3
        import deepspeed

        with deepspeed.zero.GatheredParameters([parameter]):
            gathered: torch.Tensor = parameter.detach().to("cpu", copy=True)
        return gathered
    held: torch.Tensor = parameter.detach().to("cpu", copy=True)
    return held
