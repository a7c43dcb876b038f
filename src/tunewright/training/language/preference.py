"""Everything that a training on compared or rated answers needs, made from the recipe."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tunewright.models.chat.tokenizer import open_chat_tokenizer
from tunewright.models.language.adapters import add_adapter
from tunewright.models.language.model import length_limit
from tunewright.models.language.reward import load_scorer
from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError
from tunewright.training.batching import Batches
from tunewright.training.hardware import Hardware, choose_hardware
from tunewright.training.language.activations import wants_recomputing
from tunewright.training.language.compared import PairPadding, PairRows, RatedPadding, RatedRows, mismatch
from tunewright.training.language.comparing import (
    ComparingPlan,
    DpoPlan,
    KtoPlan,
    OrpoPlan,
    RewardPlan,
)
from tunewright.training.language.kinds import suited
from tunewright.training.language.padding import WIDTHS
from tunewright.training.language.plan import typical_length
from tunewright.training.language.reference import reference_log_probabilities
from tunewright.training.language.rows import loss_of, mask_rows
from tunewright.training.language.sft import batches_of, load_trainable, loading_of, shown_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tunewright.config.language import Objective
    from tunewright.config.schema import Recipe
    from tunewright.data.chat.rows import ChatRow
    from tunewright.models.catalogue import Base
    from tunewright.models.chat.tokenizer import ChatTokenizer
    from tunewright.models.language.quantised import Loading
    from tunewright.training.language.sft import ChatData

PLANS: Mapping[Objective, type[ComparingPlan]] = {
    "dpo": DpoPlan,
    "orpo": OrpoPlan,
    "kto": KtoPlan,
    "reward": RewardPlan,
}
SPLITS = ("train", "validation")
LEAST_ROWS = 2


class FixedBatches(Batches):
    """Batches that hold the same rows in every epoch, in another order.

    KTO pairs each prompt with the answer of a neighbour in its batch, and what the reference model thinks of these
    is computed once.
    """

    def steps(self, epoch: int) -> list[list[list[int]]]:
        """Return the batches of one epoch, step by step; the first and a last one that isn't full keep their places."""
        import numpy as np

        first, *rest = super().steps(0)
        full = [step for step in rest if sum(map(len, step)) == self.batch_size * self.window]
        partial = [step for step in rest if sum(map(len, step)) < self.batch_size * self.window]
        order = np.random.default_rng((self.seed, epoch)).permutation(len(full))
        return [first, *(full[at] for at in order), *partial]


def prepare(
    data: ChatData,
    base: Base,
    recipe: Recipe,
    *,
    hardware: Hardware | None = None,
    template: Path | None = None,
    workspace: Path | None = None,
) -> ComparingPlan:
    """Tokenise and mask the rows once, load the model, and ask the reference model where there is one.

    Args:
        data: The frozen rows.
        base: The base model.
        recipe: All settings.
        hardware: How to compute; ``None`` finds it out. A resumed training computes as it began.
        template: A file with the chat template to use instead of the tokenizer's.
        workspace: Where the reference's log-probabilities are kept. ``None`` leaves them at 0: enough for a
            forecast, of no use for a training.

    Raises:
        InputError: When a split is empty, a row can't be learned from, or the machine lacks what is asked for.
    """
    training = recipe.training
    chat = open_chat_tokenizer(base.folder, name=base.name, template=template)
    limit = length_limit(chat, recipe.model.max_length)
    _require_sense(recipe)
    rows = {
        split: suited(rows, training.objective, split=split)
        for split, rows in (("train", data.train), ("validation", data.validation))
    }
    parts: dict[str, Any]
    if training.objective == "kto":
        parts = _rated_parts(rows, chat, recipe, limit)
    else:
        parts = _pair_parts(rows, chat, recipe, limit)
    lengths = [int(length) for part in parts["train"].sequences for length in part.lengths]
    chosen = hardware or choose_hardware(training, typical_length=typical_length(lengths))
    load_in = loading_of(recipe)
    model = _load(base, chat, recipe, load_in)
    plan = PLANS[training.objective](
        recipe=recipe,
        tokenizer=chat.tokenizer,
        model=model,
        hardware=chosen,
        chat=chat,
        limit=limit,
        loss_on=loss_of(training.loss_on),
        load_in=load_in,
        shown=shown_rows(data, recipe),
        recompute=wants_recomputing(training, model, chosen, longest=2 * max(lengths)),
        **parts,
    )
    return plan if workspace is None else referred(plan, base, workspace)


def referred(plan: ComparingPlan, base: Base, workspace: Path) -> ComparingPlan:
    """Return a plan with the reference model's log-probabilities, where its loss needs them."""
    if not isinstance(plan, DpoPlan | KtoPlan):
        return plan
    train: Any = plan.train
    validation: Any = plan.validation
    device = plan.hardware.device
    model = plan.model if plan.model.device.type == device else plan.model.to(device)
    facts = {
        "base": base.digest,
        "load_in": plan.load_in,
        "trust_remote_code": plan.recipe.model.trust_remote_code,
        "template": digest_json(plan.chat.template.source if plan.chat.template else None),
        "limit": plan.limit,
    }
    with plan.computing():
        found = reference_log_probabilities(
            model,
            [*train.sequences, *validation.sequences],
            pad_id=plan.chat.setup.pad_id,
            hardware=plan.hardware,
            workspace=workspace,
            facts=facts,
        )
    return replace(plan, train=train.referred(found[:2]), validation=validation.referred(found[2:]))


def without_dropout(model: Any) -> Any:  # noqa: ANN401
    """Switch dropout off, in place, as TRL does for these objectives.

    A reference model is asked without dropout; with it, the log-ratio of a model to itself would not be 0.
    """
    from torch import nn

    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
    return model


def _require_sense(recipe: Recipe) -> None:
    """Refuse settings with which KTO compares nothing."""
    training = recipe.training
    if training.objective != "kto":
        return
    if training.batch_size < LEAST_ROWS:
        raise InputError(
            "kto compares the rows of a batch, and a batch has one",
            place="training.batch_size",
            mend="take at least 2, better 8 and more",
        )
    if training.loss_on == "all":
        raise InputError(
            "kto compares answers, and loss on all tokens leaves no prompt to answer",
            place="training.loss_on",
            mend="take auto",
        )


def _pair_parts(
    rows: Mapping[str, Sequence[ChatRow]], chat: ChatTokenizer, recipe: Recipe, limit: int
) -> dict[str, Any]:
    """Return what differs between the plans: rows, batches and padding of pairs."""
    train, validation = (pair_rows(rows[split], chat, recipe, limit=limit, split=split) for split in SPLITS)
    return {
        "train": train,
        "validation": validation,
        "batches": batches_of(train.lengths, recipe),
        "padding": PairPadding(
            chat.setup.pad_id, to_length=_to_length(recipe, limit), multiple=WIDTHS, limit=limit
        ),
    }


def _rated_parts(
    rows: Mapping[str, Sequence[ChatRow]], chat: ChatTokenizer, recipe: Recipe, limit: int
) -> dict[str, Any]:
    """Return what differs between the plans: rows, batches and padding of ratings."""
    loss = loss_of(recipe.training.loss_on)
    found: dict[str, RatedRows] = {}
    batches: dict[str, FixedBatches] = {}
    for split in SPLITS:
        masked = mask_rows(rows[split], chat, loss=loss, max_length=limit, split=split)
        batches[split] = FixedBatches(
            masked.lengths,
            recipe.training.batch_size,
            window=recipe.training.gradient_accumulation_steps,
            grouping=recipe.training.batching,
            seed=recipe.seed,
        )
        others = mismatch(masked, _flat(batches[split]), limit=limit)
        found[split] = RatedRows(masked, tuple(bool(row.good) for row in rows[split]), others)
    return {
        **found,
        "batches": batches["train"],
        "padding": RatedPadding(
            chat.setup.pad_id, to_length=_to_length(recipe, limit), multiple=WIDTHS, limit=limit
        ),
        "validation_batches": tuple(map(tuple, _flat(batches["validation"]))),
    }


def pair_rows(
    rows: Sequence[ChatRow], chat: ChatTokenizer, recipe: Recipe, *, limit: int, split: str
) -> PairRows:
    """Render, tokenise and mask both answers of each preference.

    Raises:
        InputError: When there are no rows, or one can't be rendered or has an answer without loss.
    """
    sides = [
        mask_rows(
            [_answer(row, side) for row in rows],
            chat,
            loss=loss_of(recipe.training.loss_on),
            max_length=limit,
            split=split,
        )
        for side in ("chosen", "rejected")
    ]
    longer = sum(any(flags) for flags in zip(*(side.cut for side in sides), strict=True))
    return PairRows(sides[0], sides[1], truncated=longer)


def _answer(row: ChatRow, side: str) -> ChatRow:
    """Return the row with the answer in question where the chosen one stands."""
    return (
        row if side == "chosen" else row.model_copy(update={"chosen": row.rejected, "rejected": row.chosen})
    )


def _load(base: Base, chat: ChatTokenizer, recipe: Recipe, load_in: Loading) -> Any:  # noqa: ANN401
    """Load the base as it is trained, without dropout; for a reward model, with a head for one score."""
    if recipe.training.objective != "reward":
        return without_dropout(load_trainable(base, chat, recipe, load_in=load_in))
    model = load_scorer(
        base.folder,
        chat,
        load_in=load_in,
        seed=recipe.seed,
        trust_remote_code=recipe.model.trust_remote_code,
    )
    if recipe.training.method != "full":
        model = add_adapter(
            model,
            recipe.training.lora,
            modules=chat.setup.lora_modules,
            seed=recipe.seed,
            magnitudes=recipe.training.method == "dora",
            task="SEQ_CLS",
        )
    return without_dropout(model)


def _flat(batches: Batches) -> list[list[int]]:
    return [batch for step in batches.steps(0) for batch in step]


def _to_length(recipe: Recipe, limit: int) -> int | None:
    return limit if recipe.training.padding == "max_length" else None
