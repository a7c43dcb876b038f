"""Fine-tuning for sequence classification: every weight, or LoRA adapters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.models.classifier import Classifier
from tunewright.support.console import say
from tunewright.support.digests import digest_json
from tunewright.training.candidate import Candidate, TrainingFigures
from tunewright.training.checkpoints import Checkpoint, discard_unsealed, newest_whole
from tunewright.training.faults import explained
from tunewright.training.hardware import Hardware, is_present
from tunewright.training.preparation import Prepared, prepare
from tunewright.training.supervisor import Supervisor
from tunewright.training.trainer import build_trainer

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.data.dataset import Dataset
    from tunewright.models.catalogue import Base
    from tunewright.training.recorder import GivesUp, Recorder

WITHOUT_EFFECT = {"checkpoint_steps", "keep_checkpoints"}
"""Settings that may change between a kill and its resume: the weights don't depend on them."""
IDENTITY_CHARACTERS = 16


def train(
    dataset: Dataset,
    base: Base,
    recipe: Recipe,
    *,
    workspace: Path,
    recorder: Recorder,
    head: Classifier | None = None,
    gives_up: GivesUp | None = None,
) -> Candidate:
    """Fine-tune ``base`` on the data set, going on by itself from where a killed call stopped.

    With the same data, base, recipe and number of threads, the weights are the same to the last bit, whether or
    not the training was killed in between.

    Args:
        dataset: The frozen splits.
        base: The base model.
        recipe: All settings.
        workspace: Holds checkpoints, a folder for each identity of data, base and settings.
        recorder: Takes figures with their step; after a resume, those from before the kill as well.
        head: The base with a head fitted on its frozen features (``models.frozen.fit_head``), to start from;
            without one the head starts as drawn from the seed.
        gives_up: Asked after each epoch but the last whether to end the training there, with the best weights so
            far; a search prunes its trials so. What it answered isn't part of the training's identity.

    Raises:
        InputError: When a split is empty or the machine lacks what the recipe asks for.
        TunewrightError: When the loss diverges, memory or disk space runs out, no checkpoint is sound, or nothing
            was recorded.
    """
    folder = workspace / identity(dataset, base, recipe, head=head)
    discard_unsealed(folder)
    checkpoint = newest_whole(folder)
    prepared = prepare(dataset, base, recipe, hardware=_hardware_of(checkpoint), head=head)
    say(prepared.hardware.describe())
    supervisor = Supervisor.begin(prepared, recorder, folder, checkpoint, gives_up=gives_up)
    with prepared.computing():
        _fit(prepared, supervisor, folder, checkpoint)
    return _candidate(base, supervisor, checkpoint)


def identity(dataset: Dataset, base: Base, recipe: Recipe, *, head: Classifier | None = None) -> str:
    """Return what a training depends on, as a short digest: only its own checkpoints may be resumed."""
    facts = {
        "data": dataset.manifest.digest,
        "labels": dataset.label_names,
        "base": base.digest,
        "head": head.digest() if head else None,
        "model": recipe.model.model_dump(mode="json"),
        "training": recipe.training.model_dump(mode="json", exclude=WITHOUT_EFFECT),
        "primary_metric": recipe.evaluation.primary_metric,
        "seed": recipe.seed,
    }
    return digest_json(facts)[:IDENTITY_CHARACTERS]


def _fit(prepared: Prepared, supervisor: Supervisor, folder: Path, checkpoint: Checkpoint | None) -> None:
    """Run the training loop to its end, or nothing when the checkpoint is the end already."""
    if checkpoint and not _is_resumable(checkpoint):
        supervisor.restore_best()
        return
    if checkpoint:
        say(f"going on from step {checkpoint.step} of {prepared.total_steps}")
    with explained(prepared, folder, step=lambda: supervisor.step + 1):
        trainer = build_trainer(prepared, supervisor, folder)
        supervisor.start()
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint.folder) if checkpoint else None)
            supervisor.finish()
        finally:
            supervisor.progress.stop()
            # The Trainer wraps the model's forward pass in autocast; outside training it computes in fp32.
            trainer.accelerator.unwrap_model(prepared.model, keep_fp32_wrapper=False)


def _hardware_of(checkpoint: Checkpoint | None) -> Hardware | None:
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


def _is_resumable(checkpoint: Checkpoint) -> bool:
    return (checkpoint.folder / "trainer_state.json").is_file()


def _candidate(base: Base, supervisor: Supervisor, checkpoint: Checkpoint | None) -> Candidate:
    prepared, journal = supervisor.prepared, supervisor.journal
    recipe, hardware = prepared.recipe, prepared.hardware
    model = prepared.model.to("cpu").eval()
    return Candidate(
        classifier=Classifier(
            tokenizer=prepared.tokenizer,
            model=model,
            label_names=prepared.label_names,
            max_length=prepared.limit,
            cleaning=recipe.data.cleaning.model_dump(),
        ),
        method=recipe.training.method,
        base=base,
        history=tuple(journal.epochs),
        log=tuple(journal.log),
        figures=TrainingFigures(
            seconds=journal.seconds,
            cpu_seconds=journal.cpu_seconds,
            steps=int(journal.log[-1]["step"]),
            samples=journal.samples,
            useful_tokens=journal.useful_tokens,
            padded_tokens=journal.padded_tokens,
            truncated_rows=prepared.train.truncated,
            peak_memory_bytes=journal.peak_memory_bytes,
            best_step=journal.best_step,
            stopped_early=journal.stopped_early,
            resumed_from_step=checkpoint.step if checkpoint else 0,
            precision=hardware.precision,
            device=hardware.device,
            threads=hardware.threads,
            attention=hardware.attention,
            class_weights=dict(zip(prepared.label_names, prepared.weights, strict=True))
            if prepared.weights
            else None,
        ),
    )
