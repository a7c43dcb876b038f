"""TRL's GRPOTrainer as we use it: its writing, advantages and loss; our batches, token ids and one observer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunewright.training.language.rewards import reward_functions
from tunewright.training.trainer import arguments, reporting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tunewright.training.batching import Batches
    from tunewright.training.language.grpo import GrpoPlan
    from tunewright.training.trainer import Observer


class Repeated:
    """Batches in which each prompt stands as often as it is answered.

    Args:
        batches: Batches of prompts.
        times: Answers a prompt.
    """

    def __init__(self, batches: Batches, times: int) -> None:
        self.batches = batches
        self.times = times

    def __len__(self) -> int:
        """Return the batches of an epoch."""
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        """Walk over the current epoch."""
        return ([row for row in batch for _ in range(self.times)] for batch in self.batches)


def build_grpo_trainer(plan: GrpoPlan, observer: Observer, folder: Path) -> Any:  # noqa: ANN401
    """Return a trainer that is ready to ``train()``; the arguments are those of ``trainer.build_trainer``."""
    from datasets import Dataset
    from torch.utils.data import DataLoader
    from transformers import PrinterCallback, Trainer
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    settings = plan.recipe.training.grpo
    known = dict(zip(plan.train.texts, plan.train.ids, strict=True))

    class QuestionTrainer(GRPOTrainer):
        """A GRPOTrainer that makes neither batches nor token ids."""

        def get_train_dataloader(self) -> Any:  # noqa: ANN401
            """Return a loader over our batches, each prompt repeated, the last of an epoch included."""
            loader: DataLoader[Any] = DataLoader(
                plan.train,  # type: ignore[arg-type]
                batch_sampler=Repeated(plan.batches, settings.generations),
                collate_fn=list,
            )
            return self.accelerator.prepare(loader)

        def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            """Look the token ids up: they were made when the plan was."""
            return [list(known[prompt]) for prompt in prompts], None, {}

        def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ANN401
            """Write what a resume needs, without a model card."""
            Trainer._save_checkpoint(self, model, trial)

    given = arguments(plan, folder)
    given["per_device_train_batch_size"] *= settings.generations
    config = GRPOConfig(
        **given,
        num_generations=settings.generations,
        steps_per_generation=1,
        max_completion_length=settings.max_new_tokens,
        temperature=settings.temperature,
        beta=settings.beta,
        disable_dropout=True,
        # What is kept of a step is set around the whole training (``LanguagePlan.computing``).
        gradient_checkpointing=False,
    )
    # No DataParallel behind the user's back.
    config._n_gpu = min(1, config.n_gpu)
    trainer = QuestionTrainer(
        model=plan.model,
        reward_funcs=reward_functions(settings.rewards, plan.rules, room=settings.max_new_tokens),
        args=config,
        train_dataset=Dataset.from_dict(
            {"prompt": list(plan.train.texts), "reference": list(plan.train.references)}
        ),
        processing_class=plan.tokenizer,
        callbacks=[reporting(observer, plan)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
