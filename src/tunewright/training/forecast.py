"""What a training will take, from a few real steps; afterwards, how good the forecast was.

The steps run on a model of their own, so that neither the weights nor the random state of the training to come
are touched. They are real: forward and backward pass, clipping and AdamW, on the longest, the median and the
shortest batch of the first epoch, in the precision that the training will use.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from tunewright.data.dataset import Facts
from tunewright.training.faults import explained
from tunewright.training.loss import WindowLoss
from tunewright.training.memory import MemoryMeter, available_memory
from tunewright.training.preparation import Prepared, prepare
from tunewright.training.validation import VALIDATION_ROWS

if TYPE_CHECKING:
    import numpy as np
    import torch

    from tunewright.config.schema import Recipe
    from tunewright.data.dataset import Dataset
    from tunewright.models.catalogue import Base
    from tunewright.training.candidate import TrainingFigures

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
    import torch

    with torch.random.fork_rng():
        prepared = prepare(dataset, base, recipe)
        meter = MemoryMeter(prepared.weight_bytes)
        with prepared.computing(), explained(prepared, dataset.root, step=lambda: 1):
            times, memory = _measure(prepared, meter)
    steps = [prepared.window(step) for step in range(1, prepared.total_steps + 1)]
    batches = [batch for step in steps for batch in step]
    useful, computed = (sum(column) for column in zip(*map(prepared.tokens, batches), strict=True))
    longest = max(batches, key=lambda batch: prepared.batches.tokens(batch)[1])
    return Forecast(
        steps=prepared.total_steps,
        seconds=_total_seconds(prepared, batches, times),
        memory_bytes=memory,
        available_bytes=available_memory(prepared.hardware.device) + meter.kept(prepared.hardware.device),
        useful_tokens=useful,
        padding_share=1 - useful / computed,
        truncated_rows=prepared.train.truncated,
        longest_batch=(
            len(longest),
            prepared.padding.to_length or max(prepared.train.lengths[longest].tolist()),
        ),
        precision=prepared.hardware.precision,
        device=prepared.hardware.device,
        threads=prepared.hardware.threads,
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


def _measure(prepared: Prepared, meter: MemoryMeter) -> tuple[StepTimes, int]:
    """Time steps on batches of three sizes; return the times and the peak memory."""
    import torch

    device = prepared.hardware.device
    model = prepared.model.to(device).train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    training = prepared.recipe.training
    optimizer = torch.optim.AdamW(parameters, lr=training.learning_rate, fused=True)
    meter.reset(device)
    shortest, median, longest = _samples(prepared)
    # The first step makes the optimiser's state and warms up the matrix library.
    _batch(prepared, model, shortest)
    _update(parameters, optimizer, training.max_grad_norm, device)
    seconds, optimizer_seconds = [], []
    for rows in (shortest, median, longest):
        seconds.append(_batch(prepared, model, rows))
        optimizer_seconds.append(_update(parameters, optimizer, training.max_grad_norm, device))
    times = StepTimes(
        computed_tokens=tuple(prepared.tokens(rows)[1] for rows in (shortest, median, longest)),
        batch_seconds=tuple(seconds),
        optimizer_seconds=sorted(optimizer_seconds)[1],
        validation_seconds_per_token=_validation_rate(prepared, model, median),
    )
    best_copy = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    return times, meter.growth(device) + (best_copy if device == "cpu" else 0)


def _samples(prepared: Prepared) -> tuple[list[int], list[int], list[int]]:
    """Return the shortest, the median and the longest batch of the first epoch, by computed tokens."""
    batches = [batch for step in prepared.steps(0) for batch in step]
    batches.sort(key=lambda batch: prepared.tokens(batch)[1])
    return batches[0], batches[len(batches) // 2], batches[-1]


def _batch(prepared: Prepared, model: Any, rows: list[int]) -> float:  # noqa: ANN401
    """Run forward and backward pass on some rows; return the seconds."""
    import torch

    device = prepared.hardware.device
    weights = None if prepared.weights is None else torch.tensor(prepared.weights, device=device)
    batch = prepared.padding([prepared.train[row] for row in rows])
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    began = time.perf_counter()
    for inputs in prepared.pieces(batch):
        labels = inputs.pop("labels")
        with _precision(prepared):
            outputs = model(**inputs)
        torch.autograd.backward(WindowLoss(weights)(outputs, labels, len(rows)))
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


def _validation_rate(prepared: Prepared, model: Any, rows: list[int]) -> float:  # noqa: ANN401
    """Return the seconds of a forward pass per computed token."""
    import torch

    inputs = prepared.padding([prepared.train[row] for row in rows[:VALIDATION_ROWS]])
    device = prepared.hardware.device
    inputs = {name: inputs[name].to(device) for name in ("input_ids", "attention_mask")}
    model.eval()
    began = time.perf_counter()
    with torch.inference_mode(), _precision(prepared):
        model(**inputs)
    _wait(device)
    return (time.perf_counter() - began) / inputs["input_ids"].numel()


def _total_seconds(prepared: Prepared, batches: list[list[int]], times: StepTimes) -> float:
    """Add up all batches, each between the sizes that were timed, all updates and all validation passes."""
    import numpy as np

    computed = np.array([prepared.tokens(batch)[1] for batch in batches])
    fitting = float(_interpolated(computed, times).sum()) + prepared.total_steps * times.optimizer_seconds
    passes = -(-prepared.total_steps // prepared.steps_per_epoch)
    tokens = int(prepared.validation.lengths.sum())
    return fitting + passes * tokens * times.validation_seconds_per_token


def _interpolated(computed: np.ndarray, times: StepTimes) -> np.ndarray:
    """Return the seconds of batches by their computed tokens, linear between those that were timed."""
    import numpy as np

    values: np.ndarray = np.interp(computed, times.computed_tokens, times.batch_seconds)
    return values


@contextmanager
def _precision(prepared: Prepared) -> Iterator[None]:
    """Compute products in the precision chosen for the training."""
    import torch

    low = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(prepared.hardware.precision)
    with torch.autocast(prepared.hardware.device, dtype=low, enabled=low is not None):
        yield


def _wait(device: str) -> None:
    """Wait until an accelerator has done its work."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
