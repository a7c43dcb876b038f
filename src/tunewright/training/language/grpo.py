"""Group relative policy optimisation (arXiv:2402.03300): TRL's trainer, with our rows, rewards, record and checkpoints.

TRL writes, compares and learns. It is told which prompts make a batch, and gets their token ids instead of making
them itself: what the model reads while it learns is what it reads when it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.evaluation.language.rules import AnswerRules, rules
from tunewright.models.chat.template import RefusedRowError
from tunewright.models.chat.tokenizer import open_chat_tokenizer
from tunewright.models.language.generation import evaluating, write_ids
from tunewright.models.language.model import LanguageModel, length_limit
from tunewright.models.language.prompts import Prompt, prompt_of
from tunewright.support.errors import InputError
from tunewright.training.batching import Padding
from tunewright.training.hardware import Hardware, choose_hardware
from tunewright.training.language.activations import wants_recomputing
from tunewright.training.language.kinds import suited
from tunewright.training.language.plan import VALIDATION_ROWS, LanguagePlan, typical_length
from tunewright.training.language.preference import without_dropout
from tunewright.training.language.rewards import REWARDS, Asked, require_meaning
from tunewright.training.language.rows import loss_of
from tunewright.training.language.samples import reference_of
from tunewright.training.language.scoring import answer_log_probabilities
from tunewright.training.language.sft import batches_of, load_trainable, loading_of, shown_rows
from tunewright.training.plan import Judged

if TYPE_CHECKING:
    import numpy as np
    import torch

    from tunewright.config.schema import Recipe
    from tunewright.data.chat.rows import ChatRow
    from tunewright.models.catalogue import Base
    from tunewright.models.chat.tokenizer import ChatTokenizer
    from tunewright.models.language.description import Identity
    from tunewright.training.language.sft import ChatData
    from tunewright.training.trainer import Observer

READ = ("input_ids", "attention_mask")
RECORDED = ("reward", "reward_std", "kl", "entropy", "completions/mean_length", "completions/clipped_ratio")
"""Of what TRL logs."""
REFERENCE_ADAPTER = "ref"
"""TRL's name for the copy that it makes of an adapter."""


@dataclass(frozen=True, slots=True)
class Questions:
    """Prompts as token ids, with the answers that rows have for them; the lists run in parallel."""

    ids: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...]
    references: tuple[str, ...]
    cut: tuple[bool, ...]
    """Which prompts were read from their end because they are too long."""

    def __len__(self) -> int:
        """Return the number of prompts."""
        return len(self.ids)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """Return a prompt as TRL's trainer takes it."""
        return {
            "prompt": self.texts[position],
            "ids": self.ids[position],
            "reference": self.references[position],
        }

    @property
    def truncated(self) -> int:
        """Prompts that were longer than the limit."""
        return sum(self.cut)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each prompt, int64, shape (prompts,)."""
        import numpy as np

        return np.array([len(row) for row in self.ids], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class QuestionPadding(Padding):
    """Pads prompts on the left, as they are answered."""

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return ``input_ids`` and ``attention_mask``, int64 (prompts, length), and ``labels``, int64 (prompts,)."""
        import torch

        width = max(len(row["ids"]) for row in rows)
        ids = torch.full((len(rows), width), self.pad_id)
        mask = torch.zeros_like(ids)
        for at, row in enumerate(rows):
            ids[at, width - len(row["ids"]) :] = torch.tensor(row["ids"])
            mask[at, width - len(row["ids"]) :] = 1
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.ones(len(rows), dtype=torch.int64)}

    def pieces(self, batch: Mapping[str, torch.Tensor], *, tokens: int) -> Iterator[dict[str, torch.Tensor]]:  # noqa: ARG002
        """Return a batch whole: the answers to a prompt are compared with each other."""
        yield dict(batch)


@dataclass(frozen=True, slots=True)
class GrpoPlan(LanguagePlan):
    """A training by TRL's GRPOTrainer."""

    train: Questions
    validation: Questions
    padding: QuestionPadding
    rules: AnswerRules = field(default_factory=AnswerRules, kw_only=True)
    """What a valid answer is."""

    def trainer(self, observer: Observer, folder: Path) -> Any:  # noqa: ANN401
        """Return TRL's trainer, with our batches, token ids and record."""
        from tunewright.training.language.grpo_trainer import build_grpo_trainer

        return build_grpo_trainer(self, observer, folder)

    def loss(self, model: Any, inputs: dict[str, torch.Tensor], items: torch.Tensor | int) -> torch.Tensor:  # noqa: ANN401
        """Do what a step of TRL's trainer costs at most, for a forecast: write answers of full length, learn them.

        In a training, TRL's own loss takes its place.
        """
        import torch

        settings = self.recipe.training.grpo
        with evaluating(model), torch.no_grad():
            written = model.generate(
                **{name: inputs[name].repeat_interleave(settings.generations, 0) for name in READ},
                do_sample=True,
                min_new_tokens=settings.max_new_tokens,
                max_new_tokens=settings.max_new_tokens,
            )
        answers = torch.ones_like(written)
        answers[:, : -settings.max_new_tokens] = 0
        batch = {
            "input_ids": written,
            "attention_mask": torch.ones_like(written),
            "answer_mask": answers,
        }
        sums, tokens = answer_log_probabilities(model, batch, unwrapped=self.model)
        return -(sums / tokens).sum() / items / settings.generations

    def tokens(self, batch: list[int]) -> tuple[int, int]:
        """Return useful and computed tokens of a batch's prompts; what is written isn't known beforehand."""
        useful, computed = self.batches.tokens(batch)
        return (
            useful * self.recipe.training.grpo.generations,
            computed * self.recipe.training.grpo.generations,
        )

    def gathered(self, figures: Mapping[str, float]) -> Mapping[str, float]:
        """Return what TRL logs about rewards and answers."""
        return {
            name: float(value)
            for name, value in figures.items()
            if value is not None
            and (name in RECORDED or (name.startswith("rewards/") and name.endswith("/mean")))
        }

    def judge(self, best: float | None) -> Judged:  # noqa: ARG002 -- the highest reward wins
        """Answer the validation prompts greedily and reward the answers."""
        setup, settings = self.chat.setup, self.recipe.training.grpo
        written = write_ids(
            self.model,
            self.validation.ids,
            stop_ids=setup.stop_ids,
            pad_id=setup.pad_id,
            max_new_tokens=settings.max_new_tokens,
            batch_size=VALIDATION_ROWS,
        )
        texts = self.chat.tokenizer.batch_decode(written, skip_special_tokens=True)
        asked = [
            Asked(reference, len(ids), settings.max_new_tokens)
            for reference, ids in zip(self.validation.references, written, strict=True)
        ]
        found = {
            name: math.fsum(map(REWARDS[name], texts, asked, [self.rules] * len(texts))) / len(texts)
            for name in settings.rewards
        }
        total = math.fsum(found.values())
        return Judged(
            figures={
                "validation/reward": total,
                **{f"validation/rewards/{name}": value for name, value in found.items()},
            },
            score=total,
            margin=0.0,
            sentence=f"reward {total:.4f} on {len(texts)} validation prompts",
        )

    def finished(self, base: Identity) -> LanguageModel:
        """Return the trained model without what TRL put on it: a forward pass of its own, and a copy of the adapter."""
        if REFERENCE_ADAPTER in getattr(self.model, "peft_config", {}):
            self.model.delete_adapter(REFERENCE_ADAPTER)
        inner = self.model.get_base_model() if hasattr(self.model, "peft_config") else self.model
        vars(inner).pop("forward", None)
        return LanguagePlan.finished(self, base)


def prepare(
    data: ChatData,
    base: Base,
    recipe: Recipe,
    *,
    hardware: Hardware | None = None,
    template: Path | None = None,
    workspace: Path | None = None,  # noqa: ARG001 -- nothing is kept there
) -> GrpoPlan:
    """Tokenise the prompts once, load the model and choose how this machine computes.

    Args:
        data: The frozen rows.
        base: The base model.
        recipe: All settings; what a valid answer is stands under ``evaluation.generation``.
        hardware: How to compute; ``None`` finds it out. A resumed training computes as it began.
        template: A file with the chat template to use instead of the tokenizer's.
        workspace: Not used.

    Raises:
        InputError: When a split is empty, a row asks nothing, a reward would be the same for every answer, or the
            machine lacks what is asked for.
    """
    training = recipe.training
    chat = open_chat_tokenizer(base.folder, name=base.name, template=template)
    if chat.setup.eos_id is None:
        raise InputError(
            "has no end token, so no answer would ever end",
            place=str(base.folder),
            mend="name an eos_token in tokenizer_config.json",
        )
    limit = length_limit(chat, recipe.model.max_length)
    room = max(1, limit - training.grpo.max_new_tokens)
    asked = rules(recipe.evaluation.generation)
    rows = {
        split: suited(found, training.objective, split=split)
        for split, found in (("train", data.train), ("validation", data.validation))
    }
    require_meaning(training.grpo.rewards, (*rows["train"], *rows["validation"]), asked)
    train, validation = (questions(found, chat, room=room, split=split) for split, found in rows.items())
    longest = int(train.lengths.max()) + training.grpo.max_new_tokens
    chosen = hardware or choose_hardware(training, typical_length=typical_length(train.lengths.tolist()))
    load_in = loading_of(recipe)
    model = without_dropout(load_trainable(base, chat, recipe, load_in=load_in))
    return GrpoPlan(
        recipe=recipe,
        tokenizer=chat.tokenizer,
        model=model,
        train=train,
        validation=validation,
        batches=batches_of(train.lengths, recipe),
        padding=QuestionPadding(chat.setup.pad_id, side="left"),
        hardware=chosen,
        chat=chat,
        limit=limit,
        loss_on=loss_of(training.loss_on),
        load_in=load_in,
        shown=shown_rows(data, recipe),
        recompute=wants_recomputing(training, model, chosen, longest=longest * training.grpo.generations),
        rules=asked,
    )


def questions(rows: Sequence[ChatRow], chat: ChatTokenizer, *, room: int, split: str) -> Questions:
    """Render and tokenise what the model reads before it answers.

    Args:
        rows: What is asked.
        chat: Tokenizer and template.
        room: Tokens a prompt may have; a longer one is read from its end.
        split: Where they come from, for errors.

    Raises:
        InputError: When there are no rows, or one can't be rendered.
    """
    prompts = [_prompt(row, chat, split) for row in rows]
    if not prompts:
        raise InputError("has no rows", place=f"{split} split", mend="give more data or a smaller test_share")
    return Questions(
        ids=tuple(prompt.ids[-room:] for prompt in prompts),
        texts=tuple(prompt.text for prompt in prompts),
        references=tuple(map(reference_of, rows)),
        cut=tuple(len(prompt.ids) > room for prompt in prompts),
    )


def _prompt(row: ChatRow, chat: ChatTokenizer, split: str) -> Prompt:
    """Render one prompt, naming the row where that can't be done."""
    try:
        return prompt_of(row, chat)
    except RefusedRowError as error:
        raise InputError(error.fact, place=f"{split} split, row {row.row}", mend=error.mend) from error
