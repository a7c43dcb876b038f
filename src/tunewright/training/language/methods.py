"""One call for every objective of a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from tunewright.config.language import Objective
    from tunewright.config.schema import Recipe
    from tunewright.models.catalogue import Base
    from tunewright.training.hardware import Hardware
    from tunewright.training.language.plan import LanguagePlan
    from tunewright.training.language.sft import ChatData, LanguageCandidate, Prepare
    from tunewright.training.recorder import GivesUp, Recorder

SUPERVISED = {"sft", "pretrain"}
COMPARING = {"dpo", "orpo", "kto", "reward"}


def train(
    data: ChatData,
    base: Base,
    recipe: Recipe,
    *,
    workspace: Path,
    recorder: Recorder,
    template: Path | None = None,
    gives_up: GivesUp | None = None,
) -> LanguageCandidate:
    """Train a language model for the recipe's objective; the arguments are those of ``sft.train``.

    The objective ``reward`` gives a ``models.language.reward.RewardModel``, which scores answers and writes none.

    Raises:
        InputError: When the objective isn't one of a language model, a split is empty, a row can't be learned from,
            or the machine lacks what is asked for.
        TunewrightError: When the loss diverges, memory or disk space runs out, or no checkpoint is sound.
    """
    from tunewright.training.language import sft

    return sft.train(
        data,
        base,
        recipe,
        workspace=workspace,
        recorder=recorder,
        template=template,
        gives_up=gives_up,
        prepare=_preparing(recipe.training.objective),
    )


def prepare(
    data: ChatData,
    base: Base,
    recipe: Recipe,
    *,
    hardware: Hardware | None = None,
    template: Path | None = None,
    workspace: Path | None = None,
) -> LanguagePlan:
    """Prepare a training for the recipe's objective, such as for a forecast.

    Args:
        data: The frozen rows.
        base: The base model.
        recipe: All settings.
        hardware: How to compute; ``None`` finds it out.
        template: A file with the chat template to use instead of the tokenizer's.
        workspace: Where the reference model's opinion is kept; ``None`` doesn't ask it, enough for a forecast.

    Raises:
        InputError: As ``train``.
    """
    make = _preparing(recipe.training.objective)
    return make(data, base, recipe, hardware=hardware, template=template, workspace=workspace)


def _preparing(objective: Objective) -> Prepare:
    """Return what prepares an objective; TRL is imported for the one that needs it."""
    if objective in SUPERVISED:
        from tunewright.training.language.sft import prepare as prepare_sft

        return prepare_sft
    if objective in COMPARING:
        from tunewright.training.language.preference import prepare as prepare_preference

        return prepare_preference
    if objective == "grpo":
        from tunewright.training.language.grpo import prepare as prepare_grpo

        return prepare_grpo
    raise InputError(
        f"'{objective}' isn't an objective of a language model",
        place="training.objective",
        mend="take sft, pretrain, dpo, orpo, kto, reward or grpo",
    )
