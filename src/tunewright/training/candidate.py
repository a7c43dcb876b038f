"""What training gives: a classifier, and the figures of how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tunewright.config.language import Method
    from tunewright.models.catalogue import Base
    from tunewright.models.classifier import Classifier


@dataclass(frozen=True, slots=True)
class TrainingFigures:
    """What a training took. Times and tokens run over all parts of a run that was killed and resumed."""

    seconds: float
    """Wall time of steps, evaluation passes and checkpoints."""
    cpu_seconds: float
    """Processor time of the same, over all threads."""
    steps: int
    """Optimiser steps done."""
    samples: int
    """Rows seen, counted once an epoch."""
    useful_tokens: int
    """Tokens that came from text."""
    padded_tokens: int
    """Tokens computed on, padding included."""
    truncated_rows: int
    """Training rows that were longer than the limit."""
    peak_memory_bytes: int
    """What the training took at its peak: of memory beyond what the process held before, or of the accelerator."""
    best_step: int
    """The step whose weights were kept."""
    stopped_early: bool
    resumed_from_step: int
    """The step of the checkpoint that this call went on from; 0 for a fresh start."""
    precision: Literal["fp32", "bf16", "fp16"]
    device: str
    threads: int
    attention: str
    class_weights: Mapping[str, float] | None
    """Weight of a row's loss by its label; ``None`` when all count the same."""

    @property
    def padding_share(self) -> float:
        """Share of the computed tokens that was padding."""
        return 1 - self.useful_tokens / self.padded_tokens if self.padded_tokens else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Useful tokens per second of wall time."""
        return self.useful_tokens / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fine-tuned classifier, in evaluation mode with its best weights in fp32, and how it came about."""

    classifier: Classifier
    method: Method
    base: Base
    history: tuple[Mapping[str, float], ...]
    """One entry an epoch: ``epoch``, ``step``, ``train/loss`` and the ``validation/…`` figures."""
    log: tuple[Mapping[str, float], ...]
    """One entry every ``logging_steps``: ``step``, ``train/loss``, ``train/learning_rate`` …"""
    figures: TrainingFigures
