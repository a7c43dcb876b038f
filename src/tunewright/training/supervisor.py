"""Watches a training while it runs: records it, judges each epoch, keeps the best weights, seals checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.support.console import say
from tunewright.training.checkpoints import (
    BEST,
    FINISHED,
    Checkpoint,
    load_weights,
    rotate,
    save_weights,
    seal,
)
from tunewright.training.group import whole
from tunewright.training.journal import Journal, Stopwatch
from tunewright.training.loss import NonFiniteLossError
from tunewright.training.memory import MemoryMeter
from tunewright.training.progress import TrainingProgress

if TYPE_CHECKING:
    import torch

    from tunewright.training.checkpoint_store import CheckpointStore
    from tunewright.training.plan import Plan
    from tunewright.training.recorder import GivesUp, Recorder

SAMPLES = "samples"
"""Name of the table of answers that the model gives after each epoch."""
CHECKPOINTS_PER_RUN = 10
CHECKPOINT_MIN_SECONDS = 30.0
"""Without ``checkpoint_steps``, less work than this isn't worth a checkpoint."""
CHECKPOINT_MAX_SHARE = 0.03
"""Without ``checkpoint_steps``, writing them may take this share of the time at most."""


@dataclass(slots=True)
class Supervisor:
    """The observer of one training."""

    plan: Plan
    recorder: Recorder
    folder: Path
    """Where checkpoints go."""
    journal: Journal
    progress: TrainingProgress
    meter: MemoryMeter
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    """Trainable weights of the best epoch so far, on the CPU."""
    step: int = 0
    """The step that ended last."""
    gives_up: GivesUp | None = None
    """Asked after each epoch but the last."""
    store: CheckpointStore | None = None
    """Takes a copy of each sealed checkpoint."""
    _stopwatch: Stopwatch = field(init=False)
    _saving_since: float = field(default_factory=time.monotonic)
    _saved_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._stopwatch = Stopwatch(self.journal)

    @classmethod
    def begin(
        cls,
        plan: Plan,
        recorder: Recorder,
        folder: Path,
        checkpoint: Checkpoint | None,
        *,
        gives_up: GivesUp | None = None,
        store: CheckpointStore | None = None,
    ) -> Supervisor:
        """Start afresh, or go on from a checkpoint with its journal and best weights."""
        journal = Journal.from_dict(checkpoint.record["journal"]) if checkpoint else Journal()
        if not plan.group.is_first:
            journal.cpu_seconds = 0.0  # counted by the first, and added up
        progress = TrainingProgress(plan.total_steps, first_step=checkpoint.step if checkpoint else 0)
        supervisor = cls(
            plan,
            recorder,
            folder,
            journal,
            progress,
            MemoryMeter(plan.weight_bytes),
            step=progress.first_step,
            gives_up=gives_up,
            store=store,
        )
        journal.replay(recorder)
        if checkpoint and (checkpoint.folder / BEST).is_file():
            supervisor.best = load_weights(checkpoint.folder / BEST)
        return supervisor

    def start(self) -> None:
        """Begin to count time and memory, and to show progress."""
        self.meter.reset(self.plan.hardware.device, with_left=True)
        self._stopwatch.start()
        self.progress.start()

    def step_ended(self, step: int) -> bool:
        """Count the step's rows and tokens; tell whether a checkpoint is wanted."""
        self.step = step
        for batch in self.plan.window(step):
            useful, computed = self.plan.tokens(batch)
            self.journal.samples += len(batch)
            self.journal.useful_tokens += useful
            self.journal.padded_tokens += computed
        self.progress.advance(step, self.journal)
        ends_epoch = step % self.plan.steps_per_epoch == 0
        return not ends_epoch and step < self.plan.total_steps and self._wants_checkpoint(step)

    def logged(self, step: int, figures: Mapping[str, float]) -> None:
        """Record training figures.

        Raises:
            NonFiniteLossError: When the loss or the gradient is infinite or not a number.
        """
        kept = {
            f"train/{name}": float(figures[name])
            for name in ("loss", "learning_rate", "grad_norm")
            if name in figures
        }
        if not all(math.isfinite(value) for value in kept.values()):
            raise NonFiniteLossError
        kept |= self.plan.gathered(figures)
        self.progress.loss = kept["train/loss"]
        self.journal.add_log(self.recorder, step, kept)

    def epoch_ended(self, step: int, epoch: float) -> tuple[bool, bool]:
        """Validate, keep the weights when they are the best, tell whether to save and whether to stop."""
        plan, recipe = self.plan, self.plan.recipe
        judged = plan.judge(self.journal.best_score)
        self.journal.add_epoch(self.recorder, step, epoch, judged.figures)
        if self.journal.judge(step, judged.score, margin=judged.margin):
            self.best = trainable_weights(plan.model)
        say(f"epoch {epoch:.3g}: {judged.sentence}")
        # Some strategies leave no process with a whole model to write with.
        if plan.group.size == 1 and (rows := plan.samples()):
            self.recorder.table(SAMPLES, rows, step)
        patience = recipe.training.early_stopping_patience
        stops = bool(patience) and self.journal.epochs_without_gain >= patience
        if not stops and step < plan.total_steps:
            stops = plan.group.agree(self.gives_up is not None and self.gives_up(self.journal.epochs))
        self.journal.stopped_early = stops and step < plan.total_steps
        ends = stops or step >= plan.total_steps
        return not ends and self._wants_checkpoint(step), stops

    def saved(self, folder: Path, step: int) -> None:
        """Complete and seal what the Trainer has written, then let old checkpoints go."""
        record = self._record()  # by then every process has written its part
        if self.plan.group.is_first:
            if self.best:
                save_weights(folder / BEST, self.best)
            self._seal(folder, step, record, keep=self.plan.recipe.training.keep_checkpoints)
        self._saved_at = time.monotonic()

    def finish(self) -> None:
        """Put the best weights into the model and seal them as the end of the training."""
        self.journal.require_figures()
        record = self._record()
        if self.plan.group.size == 1:
            self.restore_best()
        if self.plan.group.is_first:
            save_weights(self.folder / FINISHED / BEST, self.best)
            self._seal(self.folder / FINISHED, self.step, record, keep=1)

    def restore_best(self) -> None:
        """Put the best weights into the model."""
        restore_weights(self.plan.model, self.best)

    def _seal(self, folder: Path, step: int, record: dict[str, Any], *, keep: int) -> None:
        seal(folder, step=step, record=record)
        rotate(self.folder, keep=keep)
        if self.store:
            self.store.mirror(folder, keep=keep)

    def _record(self) -> dict[str, Any]:
        """Return the journal over all processes: processor time added up, memory of the largest."""
        self._stopwatch.lap()
        self.journal.peak_memory_bytes = max(
            self.journal.peak_memory_bytes, self.meter.growth(self.plan.hardware.device)
        )
        journals = self.plan.group.gather((self.journal.cpu_seconds, self.journal.peak_memory_bytes))
        seconds, peaks = zip(*journals, strict=True)
        journal = self.journal.as_dict() | {"cpu_seconds": sum(seconds), "peak_memory_bytes": max(peaks)}
        return {"journal": journal, "hardware": self.plan.hardware.as_dict()}

    def _wants_checkpoint(self, step: int) -> bool:
        """Tell whether a checkpoint is due; when it is, the clock of its cost starts."""
        due = self._is_checkpoint_due(step)
        if due:
            self._saving_since = time.monotonic()
        return due

    def _is_checkpoint_due(self, step: int) -> bool:
        asked = self.plan.recipe.training.checkpoint_steps
        if asked is not None:
            return step % asked == 0
        # Whole tenths of the run, at steps that are logged anyway.
        every = max(1, self.plan.total_steps // CHECKPOINTS_PER_RUN)
        every = -(-every // self.plan.recipe.training.logging_steps) * self.plan.recipe.training.logging_steps
        if step % every and step % self.plan.steps_per_epoch:
            return False
        cost = self._saved_at - self._saving_since
        waited = time.monotonic() - self._saved_at >= max(CHECKPOINT_MIN_SECONDS, cost / CHECKPOINT_MAX_SHARE)
        return self.plan.group.agree(waited)


def trainable_weights(model: Any) -> dict[str, torch.Tensor]:  # noqa: ANN401
    """Return copies of the weights that training changes, on the CPU; all processes must ask."""
    return {name: whole(parameter) for name, parameter in model.named_parameters() if parameter.requires_grad}


def restore_weights(model: Any, weights: Mapping[str, torch.Tensor]) -> None:  # noqa: ANN401
    """Put back what ``trainable_weights`` copied."""
    import torch

    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in weights.items():
            parameters[name].copy_(tensor)
