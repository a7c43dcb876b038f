"""Real steps of a training on a model of their own: how long they take, and what they need of the memory.

They are what the training will do: forward and backward pass, clipping and AdamW, on the longest, the median and the
shortest batch of the first epoch, and the longest batch of a validation pass, in the precision that will be used.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunewright.data.dataset import Facts
from tunewright.training.allocator import in_use
from tunewright.training.hardware import products
from tunewright.training.memory import MemoryMeter, MemoryParts
from tunewright.training.shapes import kept_for_shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.training.plan import Plan


class StepTimes(Facts):
    """Measured parts of a training."""

    computed_tokens: tuple[int, ...]
    """Tokens, padding included, of the batches that were timed, rising."""
    batch_seconds: tuple[float, ...]
    """Forward and backward pass of each of them."""
    optimizer_seconds: float
    """Clipping, AdamW and zeroing."""
    validation_seconds_per_token: float


@dataclass(frozen=True, slots=True)
class Trial:
    """What the steps took."""

    times: StepTimes
    memory: MemoryParts


def try_steps(plan: Plan, meter: MemoryMeter, computed: Sequence[int]) -> Trial:
    """Run a few steps, without leaving a trace in the plan but in its model.

    Args:
        plan: The training; it is computing (``Plan.computing``).
        meter: Knows what the model holds.
        computed: Computed tokens of each batch of the whole training.
    """
    shortest, median, longest = _samples(plan)
    steps = _Steps(plan)
    meter.reset(plan.hardware.device)
    before = in_use()
    # The first step makes the optimiser's state and warms up the matrix library.
    steps.batch(shortest)
    updates = [steps.update()]
    short_seconds = steps.batch(shortest)
    if plan.batches.window == 1:  # else its gradients are there when the next batch of the step comes
        updates.append(steps.update())
    long_seconds = steps.batch(longest)
    updates.append(steps.update())
    validation = steps.validation_rate()
    median_seconds = steps.batch(median)
    updates.append(steps.update())
    tokens = tuple(plan.tokens(rows)[1] for rows in (shortest, median, longest))
    kept = max(0, in_use() - before - steps.state_bytes) if plan.hardware.device == "cpu" else 0
    MemoryMeter.left += kept
    return Trial(
        times=StepTimes(
            computed_tokens=tokens,
            batch_seconds=(short_seconds, median_seconds, long_seconds),
            optimizer_seconds=sorted(updates[1:])[(len(updates) - 1) // 2],
            validation_seconds_per_token=validation,
        ),
        memory=_parts(
            steps, meter, kept, kept_for_shapes(computed, kept, tried=tokens, has_head=steps.has_head)
        ),
    )


class _Steps:
    """Batches and updates of a model that is trained for a few steps."""

    def __init__(self, plan: Plan) -> None:
        import torch

        training = plan.recipe.training
        self.plan = plan
        self.model: Any = plan.model.to(plan.hardware.device).train()
        self.parameters = [each for each in self.model.parameters() if each.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=training.learning_rate, fused=True)

    @property
    def has_head(self) -> bool:
        """Whether the model has an output layer for each token."""
        return self.model.get_output_embeddings() is not None

    @property
    def trained_bytes(self) -> int:
        """Bytes of the weights that are trained."""
        return sum(each.numel() * each.element_size() for each in self.parameters)

    @property
    def state_bytes(self) -> int:
        """Bytes of the optimiser's state."""
        import torch

        states = (value for state in self.optimizer.state.values() for value in state.values())
        return sum(each.numel() * each.element_size() for each in states if isinstance(each, torch.Tensor))

    def batch(self, rows: list[int]) -> float:
        """Run forward and backward pass on some rows; return the seconds."""
        import torch

        plan, device = self.plan, self.plan.hardware.device
        batch = plan.padding([plan.train[row] for row in rows])
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        items = plan.items([batch])
        began = time.perf_counter()
        for inputs in plan.pieces(batch):
            with products(plan.hardware):
                loss = plan.loss(self.model, inputs, items)
            torch.autograd.backward(loss)
        _wait(device)
        return time.perf_counter() - began

    def update(self) -> float:
        """Clip and apply the gradients; return the seconds."""
        import torch

        began = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.plan.recipe.training.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        _wait(self.plan.hardware.device)
        return time.perf_counter() - began

    def validation_rate(self) -> float:
        """Do the longest batch of a validation pass; return its seconds for each token of a row."""
        began = time.perf_counter()
        tokens = self.plan.try_validation()
        _wait(self.plan.hardware.device)
        return (time.perf_counter() - began) / tokens


def _parts(steps: _Steps, meter: MemoryMeter, kept: int, kernels: int) -> MemoryParts:
    """Say what the memory that was measured is for: what isn't counted are activations."""
    plan, trained = steps.plan, steps.trained_bytes
    device = plan.hardware.device
    adapter = 0 if plan.recipe.training.method == "full" else trained
    counted = meter.held + trained + steps.state_bytes + kept
    return MemoryParts(
        weights=meter.held - adapter,
        adapter=adapter,
        gradients=trained,
        optimizer=steps.state_bytes,
        best_weights=trained if device == "cpu" else 0,
        activations=max(0, meter.growth(device) - counted),
        kernels=kernels,
    )


def _samples(plan: Plan) -> tuple[list[int], list[int], list[int]]:
    """Return the shortest, the median and the longest batch of the first epoch, by computed tokens."""
    batches = [batch for step in plan.steps(0) for batch in step]
    batches.sort(key=lambda batch: plan.tokens(batch)[1])
    return batches[0], batches[len(batches) // 2], batches[-1]


def _wait(device: str) -> None:
    """Wait until an accelerator has done its work."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
