"""Supervised fine-tuning and continued or fresh pre-training: every weight, or adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tunewright.models.chat.tokenizer import open_chat_tokenizer
from tunewright.models.language.adapters import add_adapter
from tunewright.models.language.description import Identity
from tunewright.models.language.loading import load_causal
from tunewright.models.language.model import length_limit
from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError
from tunewright.training.batching import Batches
from tunewright.training.classification import IDENTITY_CHARACTERS, WITHOUT_EFFECT
from tunewright.training.fitting import figures_of, find_checkpoint, fit, hardware_of, is_finished
from tunewright.training.hardware import Hardware, choose_hardware
from tunewright.training.language.activations import wants_recomputing
from tunewright.training.language.kinds import suited
from tunewright.training.language.padding import WIDTHS, Packing, TokenPadding
from tunewright.training.language.plan import LanguagePlan, SupervisedPlan, typical_length
from tunewright.training.language.rows import loss_of, mask_rows
from tunewright.training.launch.job import LAUNCH, Job
from tunewright.training.launch.launching import launch
from tunewright.training.launch.messages import Forwarding

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from tunewright.config.schema import Recipe
    from tunewright.data.chat.rows import ChatRow
    from tunewright.models.catalogue import Base
    from tunewright.models.chat.tokenizer import ChatTokenizer
    from tunewright.models.language.model import LanguageModel
    from tunewright.models.language.quantised import Loading
    from tunewright.training.candidate import TrainingFigures
    from tunewright.training.recorder import GivesUp, Recorder


@dataclass(frozen=True, slots=True)
class ChatData:
    """The frozen rows that a language model learns from, and their identity."""

    train: tuple[ChatRow, ...]
    validation: tuple[ChatRow, ...]
    digest: str


class Prepare(Protocol):
    """Prepares the training of one objective; the arguments are those of ``prepare``."""

    def __call__(
        self,
        data: ChatData,
        base: Base,
        recipe: Recipe,
        *,
        hardware: Hardware | None = None,
        template: Path | None = None,
        workspace: Path | None = None,
    ) -> LanguagePlan:
        """Return a training that could start now."""
        ...


@dataclass(frozen=True, slots=True)
class LanguageCandidate:
    """A fine-tuned language model, in evaluation mode with its best weights, and how it came about."""

    model: LanguageModel
    """Of the objective reward a ``RewardModel``, which scores answers and refuses to write any."""
    base: Base
    history: tuple[Mapping[str, float], ...]
    """One entry an epoch: ``epoch``, ``step``, ``train/loss`` and the ``validation/…`` figures."""
    log: tuple[Mapping[str, float], ...]
    """One entry every ``logging_steps``: ``step``, ``train/loss``, ``train/learning_rate`` …"""
    figures: TrainingFigures


def train(
    data: ChatData,
    base: Base,
    recipe: Recipe,
    *,
    workspace: Path,
    recorder: Recorder,
    template: Path | None = None,
    gives_up: GivesUp | None = None,
    prepare: Prepare | None = None,
) -> LanguageCandidate:
    """Fine-tune ``base`` on the rows, going on by itself from where a killed call stopped.

    With the same rows, base, recipe and number of threads, the weights are the same to the last bit, whether or
    not the training was killed in between.

    Args:
        data: The frozen rows.
        base: The base model.
        recipe: All settings.
        workspace: Holds checkpoints, a folder for each identity of data, base and settings.
        recorder: Takes figures with their step; after a resume, those from before the kill as well.
        template: A file with the chat template to use instead of the tokenizer's.
        gives_up: Asked after each epoch but the last whether to end the training there.
        prepare: Prepares another objective's plan; supervised learning by default.

    Raises:
        InputError: When a split is empty, a row can't be learned from, or the machine lacks what is asked for.
        TunewrightError: When the loss diverges, memory or disk space runs out, a process dies, or no checkpoint is
            sound.
    """
    folder = workspace / identity(data, base, recipe, template)
    began = checkpoint = find_checkpoint(folder, recipe.training.checkpoint_store)
    make = prepare or prepare_supervised
    if recipe.training.devices > 1 and not is_finished(checkpoint):
        _require_supervised(recipe)
        recorder = forwarding = Forwarding(folder / LAUNCH, recorder, gives_up)
        job = Job(
            recipe, base, data.train, data.validation, data.digest, workspace, template, gives_up is not None
        )
        launch(job, recipe.training.devices, folder / LAUNCH, forwarding)
        checkpoint = find_checkpoint(folder)
    plan = make(data, base, recipe, hardware=hardware_of(checkpoint), template=template, workspace=workspace)
    supervisor = fit(plan, folder, recorder, checkpoint=checkpoint, gives_up=gives_up)
    return LanguageCandidate(
        model=plan.finished(Identity.of(base)),
        base=base,
        history=tuple(supervisor.journal.epochs),
        log=tuple(supervisor.journal.log),
        figures=figures_of(plan, supervisor, began),
    )


def _require_supervised(recipe: Recipe) -> None:
    """Refuse several processes for an objective that compares answers.

    Raises:
        InputError: When the objective isn't supervised learning.
    """
    if recipe.training.objective not in {"sft", "pretrain"}:
        raise InputError(
            f"the objective {recipe.training.objective} trains in one process",
            place="training.devices",
            mend="take training.devices=1",
        )


def identity(data: ChatData, base: Base, recipe: Recipe, template: Path | None = None) -> str:
    """Return what a training depends on, as a short digest: only its own checkpoints may be resumed."""
    from tunewright.support.digests import digest_file

    facts = {
        "data": data.digest,
        "base": base.digest,
        "template": digest_file(template) if template else None,
        "model": recipe.model.model_dump(mode="json"),
        "training": recipe.training.model_dump(mode="json", exclude=WITHOUT_EFFECT),
        "seed": recipe.seed,
    }
    return digest_json(facts)[:IDENTITY_CHARACTERS]


def prepare(
    data: ChatData,
    base: Base,
    recipe: Recipe,
    *,
    hardware: Hardware | None = None,
    template: Path | None = None,
    workspace: Path | None = None,  # noqa: ARG001 -- other objectives keep something there
) -> SupervisedPlan:
    """Tokenise and mask the rows once, load the model and choose how this machine computes.

    Args:
        data: The frozen rows.
        base: The base model.
        recipe: All settings.
        hardware: How to compute; ``None`` finds it out. A resumed training computes as it began.
        template: A file with the chat template to use instead of the tokenizer's.
        workspace: Where an objective may keep what it computes beforehand; supervised learning keeps nothing.

    Raises:
        InputError: When a split is empty, a row can't be learned from, or the machine lacks what is asked for.
    """
    training = recipe.training
    chat = open_chat_tokenizer(base.folder, name=base.name, template=template)
    limit = length_limit(chat, recipe.model.max_length)
    loss = loss_of(training.loss_on)
    train_rows, validation = (
        mask_rows(
            suited(rows, training.objective, split=split), chat, loss=loss, max_length=limit, split=split
        )
        for split, rows in (("train", data.train), ("validation", data.validation))
    )
    chosen = hardware or choose_hardware(training, typical_length=typical_length(train_rows.lengths.tolist()))
    load_in = loading_of(recipe)
    model = load_trainable(base, chat, recipe, load_in=load_in)
    return SupervisedPlan(
        recipe=recipe,
        tokenizer=chat.tokenizer,
        model=model,
        train=train_rows,
        validation=validation,
        batches=batches_of(train_rows.lengths, recipe),
        padding=_padding(recipe, chat, limit, chosen),
        hardware=chosen,
        chat=chat,
        limit=limit,
        loss_on=loss,
        load_in=load_in,
        shown=shown_rows(data, recipe),
        recompute=wants_recomputing(training, model, chosen, longest=int(train_rows.lengths.max())),
    )


prepare_supervised = prepare
"""Under a name that an argument called ``prepare`` doesn't hide."""


def batches_of(lengths: np.ndarray, recipe: Recipe) -> Batches:
    """Return the batches that a recipe asks for, of rows with these lengths."""
    training = recipe.training
    return Batches(
        lengths,
        training.batch_size,
        window=training.gradient_accumulation_steps * training.devices,
        grouping=training.batching,
        seed=recipe.seed,
    )


def shown_rows(data: ChatData, recipe: Recipe) -> tuple[ChatRow, ...]:
    """Return the validation rows whose prompts are answered after each epoch; all plain text has the same prompt."""
    asking = [row for row in data.validation if row.kind != "text"] or data.validation[:1]
    return tuple(asking[: recipe.training.sample_prompts])


def loading_of(recipe: Recipe) -> Loading:
    """Return how the frozen weights are held: what the recipe says, 4 bits for QLoRA.

    Raises:
        InputError: When weights that are trained are to be held in few bits.
    """
    asked, method = recipe.model.load_in, recipe.training.method
    if method == "qlora":
        return "4bit" if asked == "full" else asked
    if method == "full" and asked != "full":
        raise InputError(
            f"weights in {asked} can't be trained",
            place="model.load_in",
            mend="take training.method=qlora, or model.load_in=full",
        )
    return asked


def load_trainable(base: Base, chat: ChatTokenizer, recipe: Recipe, *, load_in: Loading) -> Any:  # noqa: ANN401
    """Load the base as it is trained: every weight in float32, or frozen with adapters on it."""
    training = recipe.training
    model = load_causal(base.folder, chat, load_in=load_in, trust_remote_code=recipe.model.trust_remote_code)
    if training.method == "full":
        return model
    return add_adapter(
        model,
        training.lora,
        modules=chat.setup.lora_modules,
        seed=recipe.seed,
        magnitudes=training.method == "dora",
    )


def _padding(recipe: Recipe, chat: ChatTokenizer, limit: int, hardware: Hardware) -> TokenPadding:
    """Choose between rows side by side and rows packed into sequences."""
    asked = recipe.training.packing
    if asked == "on" or (asked == "auto" and hardware.device == "cuda"):
        return Packing(pad_id=chat.setup.pad_id, capacity=limit, multiple=WIDTHS, limit=limit)
    to_length = limit if recipe.training.padding == "max_length" else None
    return TokenPadding(pad_id=chat.setup.pad_id, to_length=to_length, multiple=WIDTHS, limit=limit)
