"""What a training will take, from a few real steps; afterwards, how good the forecast was.

The steps (``trial.py``) run on a model of their own, so that neither the weights nor the random state of the training
to come are touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from tunewright.data.dataset import Facts
from tunewright.training.faults import explained
from tunewright.training.memory import MemoryMeter, MemoryParts, available_memory
from tunewright.training.preparation import prepare
from tunewright.training.trial import StepTimes, try_steps

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from tunewright.config.schema import Recipe
    from tunewright.data.dataset import Dataset
    from tunewright.models.catalogue import Base
    from tunewright.training.candidate import TrainingFigures
    from tunewright.training.plan import Plan

GOOD_RATIO = 1.5
"""A forecast that is off by less than this factor was good enough to plan with."""


class Forecast(Facts):
    """What a training will take."""

    steps: int
    """Optimiser steps."""
    seconds: float
    """Wall time of all steps and validation passes, on a machine as busy as now."""
    memory_bytes: int
    """What the training takes of the process's memory, or of the accelerator's, at its peak."""
    memory: MemoryParts | None = None
    """Its parts; forecasts of earlier versions have none."""
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

    def lines(self) -> tuple[str, ...]:
        """Return what ``describe`` says, and a line about the parts of the memory."""
        parts = (f"memory: {self.memory.describe()}",) if self.memory else ()
        return (self.describe(), *parts)


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
        steps = [plan.window(step) for step in range(1, plan.total_steps + 1)]
        batches = [batch for step in steps for batch in step]
        useful, computed = zip(*map(plan.tokens, batches), strict=True)
        meter = MemoryMeter(plan.weight_bytes)
        with plan.computing(), explained(plan, place, step=lambda: 1):
            found = try_steps(plan, meter, computed)
    longest = max(batches, key=lambda batch: plan.batches.tokens(batch)[1])
    return Forecast(
        steps=plan.total_steps,
        seconds=_total_seconds(plan, computed, found.times),
        memory_bytes=found.memory.total,
        memory=found.memory,
        available_bytes=available_memory(plan.hardware.device) + meter.kept(plan.hardware.device),
        useful_tokens=sum(useful),
        padding_share=1 - sum(useful) / sum(computed),
        truncated_rows=plan.train.truncated,
        longest_batch=(
            len(longest),
            plan.padding.to_length or max(plan.train.lengths[longest].tolist()),
        ),
        precision=plan.hardware.precision,
        device=plan.hardware.device,
        threads=plan.hardware.threads,
        times=found.times,
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


def _total_seconds(plan: Plan, computed: Sequence[int], times: StepTimes) -> float:
    """Add up all batches, each between the sizes that were timed, all updates and all validation passes."""
    import numpy as np

    fitting = (
        float(_interpolated(np.array(computed), times).sum()) + plan.total_steps * times.optimizer_seconds
    )
    passes = -(-plan.total_steps // plan.steps_per_epoch)
    tokens = int(plan.validation.lengths.sum())
    return fitting + passes * tokens * times.validation_seconds_per_token


def _interpolated(computed: np.ndarray, times: StepTimes) -> np.ndarray:
    """Return the seconds of batches by their computed tokens, linear between those that were timed."""
    import numpy as np

    values: np.ndarray = np.interp(computed, times.computed_tokens, times.batch_seconds)
    return values


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
