"""Fine-tuning for sequence classification: every weight, or LoRA adapters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.models.classifier import Classifier
from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError
from tunewright.training.candidate import Candidate
from tunewright.training.fitting import figures_of, find_checkpoint, fit, hardware_of
from tunewright.training.preparation import Prepared, prepare

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.data.dataset import Dataset
    from tunewright.models.catalogue import Base
    from tunewright.training.checkpoints import Checkpoint
    from tunewright.training.recorder import GivesUp, Recorder
    from tunewright.training.supervisor import Supervisor

WITHOUT_EFFECT = {"checkpoint_steps", "keep_checkpoints", "checkpoint_store"}
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
    if recipe.training.devices > 1:
        raise InputError(
            "a classifier is trained by one process",
            place="training.devices",
            mend="set it to 1; language models take several",
        )
    folder = workspace / identity(dataset, base, recipe, head=head)
    checkpoint = find_checkpoint(folder, recipe.training.checkpoint_store)
    plan = prepare(dataset, base, recipe, hardware=hardware_of(checkpoint), head=head)
    supervisor = fit(plan, folder, recorder, checkpoint=checkpoint, gives_up=gives_up)
    return _candidate(base, plan, supervisor, checkpoint)


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


def _candidate(
    base: Base, plan: Prepared, supervisor: Supervisor, checkpoint: Checkpoint | None
) -> Candidate:
    recipe, journal = plan.recipe, supervisor.journal
    model = plan.model.to("cpu").eval()
    weights = dict(zip(plan.label_names, plan.weights, strict=True)) if plan.weights else None
    return Candidate(
        classifier=Classifier(
            tokenizer=plan.tokenizer,
            model=model,
            label_names=plan.label_names,
            max_length=plan.limit,
            cleaning=recipe.data.cleaning.model_dump(),
        ),
        method=recipe.training.method,
        base=base,
        history=tuple(journal.epochs),
        log=tuple(journal.log),
        figures=figures_of(plan, supervisor, checkpoint, class_weights=weights),
    )
