"""What a training will take, from a few real steps; afterwards, how good the forecast was.

The steps run on a model of their own, so that neither the weights nor the random state of the training to come
are touched. They are real: forward and backward pass, clipping and AdamW, on the longest, the median and the
shortest batch of the first epoch, in the precision that the training will use.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from tunewright.data.dataset import Facts
from tunewright.training.faults import explained
from tunewright.training.hardware import products
from tunewright.training.memory import MemoryMeter, available_memory
from tunewright.training.preparation import prepare
from tunewright.training.validation import VALIDATION_ROWS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch

    from tunewright.config.schema import Recipe
    from tunewright.data.dataset import Dataset
    from tunewright.models.catalogue import Base
    from tunewright.training.candidate import TrainingFigures
    from tunewright.training.plan import Plan

READ = {"input_ids", "attention_mask", "position_ids"}
"""What a model reads, of what a padding gives."""
GOOD_RATIO = 1.5
"""A forecast that is off by less than this factor was good enough to plan with."""


class StepTimes(Facts):
    """Measured parts of a training."""

    computed_tokens: tuple[int, ...]
    """Tokens, padding included, of the batches that were timed, rising."""
    batch_seconds: tuple[float, ...]
    """Forward and backward pass of each of them."""
    optimizer_seconds: float
    """Clipping, AdamW and zeroing."""
    validation_seconds_per_token: float


class Forecast(Facts):
    """What a training will take."""

    steps: int
    """Optimiser steps."""
    seconds: float
    """Wall time of all steps and validation passes, on a machine as busy as now."""
    memory_bytes: int
    """What the training takes of the process's memory, or of the accelerator's, at its peak."""
    available_bytes: int
    useful_tokens: int
    """Tokens of text, over all epochs."""
    padding_share: float
    truncated_rows: int
    longest_batch: tuple[int, int]
    """Rows and tokens a row of the batch that needs most memory."""
    precision: Literal["fp32", "bf16", "fp16"]
    device: str
    threads: int
    times: StepTimes

    @property
    def fits(self) -> bool:
        """Whether the memory will do."""
        return self.memory_bytes <= self.available_bytes

    def describe(self) -> str:
        """Return one line for a person."""
        minutes, seconds = divmod(round(self.seconds), 60)
        room = "" if self.fits else f" but only {_gib(self.available_bytes)} are there"
        cut = f", {self.truncated_rows} rows cut" if self.truncated_rows else ""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return (
            f"{self.steps} steps in about {minutes} min {seconds:02d} s on {self.device} ({self.precision},"
            f" {threads}), {_gib(self.memory_bytes)}{room}; {self.useful_tokens:,} useful tokens,"
            f" {self.padding_share:.1%} padding{cut}"
        )


class ForecastScore(Facts):
    """A forecast beside what happened."""

    seconds_ratio: float
    """Seconds taken over seconds forecast."""
    memory_ratio: float
    """Peak memory over memory forecast."""
    is_good: bool
    """Whether both lie within a factor of ``GOOD_RATIO``."""

    def describe(self) -> str:
        """Return one line for a person."""
        return f"took {self.seconds_ratio:.0%} of the time and {self.memory_ratio:.0%} of the memory forecast"


def forecast(dataset: Dataset, base: Base, recipe: Recipe) -> Forecast:
    """Measure a few real steps and forecast the whole training.

    Raises:
        InputError: When a split is empty or the machine lacks what the recipe asks for.
        TunewrightError: When the longest batch doesn't fit in memory, or its loss is not finite.
    """
    return forecast_of(lambda: prepare(dataset, base, recipe), dataset.root)


def forecast_of(make: Callable[[], Plan], place: Path) -> Forecast:
    """Measure a few real steps of a training of any kind and forecast the whole.

    Args:
        make: Prepares the training; its model is the forecast's own.
        place: Where the data lie, for errors.

    Raises:
        InputError: When a split is empty or the machine lacks what the recipe asks for.
        TunewrightError: When the longest batch doesn't fit in memory, or its loss is not finite.
    """
    import torch

    with torch.random.fork_rng():
        plan = make()
        meter = MemoryMeter(plan.weight_bytes)
        with plan.computing(), explained(plan, place, step=lambda: 1):
            times, memory = _measure(plan, meter)
    steps = [plan.window(step) for step in range(1, plan.total_steps + 1)]
    batches = [batch for step in steps for batch in step]
    useful, computed = (sum(column) for column in zip(*map(plan.tokens, batches), strict=True))
    longest = max(batches, key=lambda batch: plan.batches.tokens(batch)[1])
    return Forecast(
        steps=plan.total_steps,
        seconds=_total_seconds(plan, batches, times),
        memory_bytes=memory,
        available_bytes=available_memory(plan.hardware.device) + meter.kept(plan.hardware.device),
        useful_tokens=useful,
        padding_share=1 - useful / computed,
        truncated_rows=plan.train.truncated,
        longest_batch=(
            len(longest),
            plan.padding.to_length or max(plan.train.lengths[longest].tolist()),
        ),
        precision=plan.hardware.precision,
        device=plan.hardware.device,
        threads=plan.hardware.threads,
        times=times,
    )


def score(forecast: Forecast, figures: TrainingFigures) -> ForecastScore:
    """Compare a forecast with what the training took.

    A run that was resumed or stopped early is scaled to the steps forecast.
    """
    done = figures.steps / forecast.steps
    seconds = figures.seconds / (forecast.seconds * done)
    memory = figures.peak_memory_bytes / forecast.memory_bytes
    return ForecastScore(
        seconds_ratio=seconds,
        memory_ratio=memory,
        is_good=all(1 / GOOD_RATIO <= ratio <= GOOD_RATIO for ratio in (seconds, memory)),
    )


def _measure(plan: Plan, meter: MemoryMeter) -> tuple[StepTimes, int]:
    """Time steps on batches of three sizes; return the times and the peak memory."""
    import torch

    device = plan.hardware.device
    model = plan.model.to(device).train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    training = plan.recipe.training
    optimizer = torch.optim.AdamW(parameters, lr=training.learning_rate, fused=True)
    meter.reset(device)
    shortest, median, longest = _samples(plan)
    # The first step makes the optimiser's state and warms up the matrix library.
    _batch(plan, model, shortest)
    _update(parameters, optimizer, training.max_grad_norm, device)
    seconds, optimizer_seconds = [], []
    for rows in (shortest, median, longest):
        seconds.append(_batch(plan, model, rows))
        optimizer_seconds.append(_update(parameters, optimizer, training.max_grad_norm, device))
    times = StepTimes(
        computed_tokens=tuple(plan.tokens(rows)[1] for rows in (shortest, median, longest)),
        batch_seconds=tuple(seconds),
        optimizer_seconds=sorted(optimizer_seconds)[1],
        validation_seconds_per_token=_validation_rate(plan, model, median),
    )
    best_copy = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    return times, meter.growth(device) + (best_copy if device == "cpu" else 0)


def _samples(plan: Plan) -> tuple[list[int], list[int], list[int]]:
    """Return the shortest, the median and the longest batch of the first epoch, by computed tokens."""
    batches = [batch for step in plan.steps(0) for batch in step]
    batches.sort(key=lambda batch: plan.tokens(batch)[1])
    return batches[0], batches[len(batches) // 2], batches[-1]


def _batch(plan: Plan, model: Any, rows: list[int]) -> float:  # noqa: ANN401
    """Run forward and backward pass on some rows; return the seconds."""
    import torch

    device = plan.hardware.device
    batch = plan.padding([plan.train[row] for row in rows])
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    items = plan.items([batch])
    began = time.perf_counter()
    for inputs in plan.pieces(batch):
        with products(plan.hardware):
            loss = plan.loss(model, inputs, items)
        torch.autograd.backward(loss)
    _wait(device)
    return time.perf_counter() - began


def _update(
    parameters: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer, max_norm: float, device: str
) -> float:
    """Clip and apply the gradients; return the seconds."""
    import torch

    began = time.perf_counter()
    torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    optimizer.step()
    optimizer.zero_grad()
    _wait(device)
    return time.perf_counter() - began


def _validation_rate(plan: Plan, model: Any, rows: list[int]) -> float:  # noqa: ANN401
    """Return the seconds of a forward pass per computed token."""
    import torch

    inputs = plan.padding([plan.train[row] for row in rows[:VALIDATION_ROWS]])
    device = plan.hardware.device
    inputs = {name: tensor.to(device) for name, tensor in inputs.items() if name in READ}
    model.eval()
    began = time.perf_counter()
    with torch.inference_mode(), products(plan.hardware):
        model(**inputs)
    _wait(device)
    return (time.perf_counter() - began) / inputs["input_ids"].numel()


def _total_seconds(plan: Plan, batches: list[list[int]], times: StepTimes) -> float:
    """Add up all batches, each between the sizes that were timed, all updates and all validation passes."""
    import numpy as np

    computed = np.array([plan.tokens(batch)[1] for batch in batches])
    fitting = float(_interpolated(computed, times).sum()) + plan.total_steps * times.optimizer_seconds
    passes = -(-plan.total_steps // plan.steps_per_epoch)
    tokens = int(plan.validation.lengths.sum())
    return fitting + passes * tokens * times.validation_seconds_per_token


def _interpolated(computed: np.ndarray, times: StepTimes) -> np.ndarray:
    """Return the seconds of batches by their computed tokens, linear between those that were timed."""
    import numpy as np

    values: np.ndarray = np.interp(computed, times.computed_tokens, times.batch_seconds)
    return values


def _wait(device: str) -> None:
    """Wait until an accelerator has done its work."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
