"""Run a plan to its end: afresh, or from the newest checkpoint that a killed call left whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.support.console import say
from tunewright.training.candidate import TrainingFigures
from tunewright.training.checkpoint_store import CheckpointStore
from tunewright.training.checkpoints import Checkpoint, discard_unsealed, newest_whole
from tunewright.training.faults import explained
from tunewright.training.hardware import Hardware, is_present
from tunewright.training.supervisor import Supervisor

if TYPE_CHECKING:
    from tunewright.training.plan import Plan
    from tunewright.training.recorder import GivesUp, Recorder


def find_checkpoint(folder: Path, store: str | None = None) -> Checkpoint | None:
    """Remove what a kill left half written and return the newest checkpoint, if there is one.

    Args:
        folder: Where the checkpoints of one training lie.
        store: The recipe's ``training.checkpoint_store``: where to look when the folder has none.

    Raises:
        InputError: When the store can't be read.
        TunewrightError: When there are checkpoints and none is sound.
    """
    discard_unsealed(folder)
    found = newest_whole(folder)
    if found is None and store and CheckpointStore(store, folder.name).fetch_newest(folder):
        return newest_whole(folder)
    return found


def is_finished(checkpoint: Checkpoint | None) -> bool:
    """Tell whether a checkpoint is the end of its training."""
    return checkpoint is not None and not _is_resumable(checkpoint)


def hardware_of(checkpoint: Checkpoint | None) -> Hardware | None:
    """Return how a killed training computed, when this machine can do the same."""
    if checkpoint is None:
        return None
    hardware = Hardware.from_dict(checkpoint.record["hardware"])
    if is_present(hardware.device):
        return hardware
    say(
        f"the checkpoint comes from a machine with {hardware.device}: the last bits of the weights may differ"
    )
    return None


def fit(
    plan: Plan,
    folder: Path,
    recorder: Recorder,
    *,
    checkpoint: Checkpoint | None,
    gives_up: GivesUp | None = None,
) -> Supervisor:
    """Train; the plan's model then holds its best weights, still in training mode.

    Args:
        plan: What to train.
        folder: Where its checkpoints lie; no other training's do.
        recorder: Takes figures with their step; after a resume, those from before the kill as well.
        checkpoint: Where to go on.
        gives_up: Asked after each epoch but the last whether to end the training there.

    Raises:
        TunewrightError: When the loss diverges, memory or disk space runs out, or nothing was recorded.
    """
    say(plan.hardware.describe())
    place = plan.recipe.training.checkpoint_store
    store = CheckpointStore(place, folder.name) if place and plan.group.is_first else None
    if store:
        store.require_writable()
    supervisor = Supervisor.begin(plan, recorder, folder, checkpoint, gives_up=gives_up, store=store)
    with plan.computing():
        _run(plan, supervisor, folder, checkpoint)
    return supervisor


def figures_of(
    plan: Plan,
    supervisor: Supervisor,
    checkpoint: Checkpoint | None,
    *,
    class_weights: Mapping[str, float] | None = None,
) -> TrainingFigures:
    """Return what a training took, over all parts of it."""
    journal, hardware = supervisor.journal, plan.hardware
    return TrainingFigures(
        seconds=journal.seconds,
        cpu_seconds=journal.cpu_seconds,
        steps=int(journal.log[-1]["step"]),
        samples=journal.samples,
        useful_tokens=journal.useful_tokens,
        padded_tokens=journal.padded_tokens,
        truncated_rows=plan.train.truncated,
        peak_memory_bytes=journal.peak_memory_bytes,
        best_step=journal.best_step,
        stopped_early=journal.stopped_early,
        resumed_from_step=checkpoint.step if checkpoint else 0,
        precision=hardware.precision,
        device=hardware.device,
        threads=hardware.threads,
        attention=hardware.attention,
        class_weights=class_weights,
    )


def _run(plan: Plan, supervisor: Supervisor, folder: Path, checkpoint: Checkpoint | None) -> None:
    """Run the training loop to its end, or nothing when the checkpoint is the end already."""
    if checkpoint and not _is_resumable(checkpoint):
        supervisor.restore_best()
        return
    if checkpoint:
        say(f"going on from step {checkpoint.step} of {plan.total_steps}")
    with explained(plan, folder, step=lambda: supervisor.step + 1):
        trainer = plan.trainer(supervisor, folder)
        supervisor.start()
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint.folder) if checkpoint else None)
            supervisor.finish()
        finally:
            supervisor.progress.stop()
            # The Trainer wraps the model's forward pass in autocast; outside training it computes in fp32.
            trainer.accelerator.unwrap_model(plan.model, keep_fp32_wrapper=False)


def _is_resumable(checkpoint: Checkpoint) -> bool:
    return (checkpoint.folder / "trainer_state.json").is_file()
