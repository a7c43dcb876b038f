"""Everything that a training needs, made from the recipe: rows as tokens, the model, batches, the machine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunewright.models.adapters import add_lora
from tunewright.models.loading import load_encoder
from tunewright.models.tokenizers import load_tokenizer, text_limit
from tunewright.training.batching import Batches, Encoded, Padding, encode
from tunewright.training.hardware import Hardware, applied, choose_hardware
from tunewright.training.kernels import SAMPLE_ROWS, cheaper_kernels
from tunewright.training.loss import class_weights, window_loss
from tunewright.training.plan import Judged, Plan
from tunewright.training.validation import log_probabilities, validate, validation_figures
from tunewright.training.vocabulary import used_tokens_only

if TYPE_CHECKING:
    import torch

    from tunewright.config.schema import Recipe
    from tunewright.data.dataset import Dataset
    from tunewright.models.catalogue import Base
    from tunewright.models.classifier import Classifier

TYPICAL_PERCENTILE = 95


@dataclass(frozen=True, slots=True)
class Prepared(Plan):
    """A classifier's training that could start now."""

    train: Encoded
    validation: Encoded
    label_names: tuple[str, ...]
    limit: int
    """Tokens a text is cut at."""
    weights: tuple[float, ...] | None
    """Weight of each class in the loss."""

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Set threads, precision and kernels of this machine, and leave unused token vectors out, inside the block."""
        sample = self.padding([self.train[row] for row in range(min(SAMPLE_ROWS, len(self.train)))])
        del sample["labels"]
        rows = (*self.train.ids, *self.validation.ids)
        with (
            applied(self.hardware),
            used_tokens_only(self.model, rows, pad_id=self.padding.pad_id),
            cheaper_kernels(self.model, self.hardware, sample),
        ):
            yield

    def loss(self, model: Any, inputs: dict[str, torch.Tensor], items: torch.Tensor | int) -> torch.Tensor:  # noqa: ANN401
        """Return the cross-entropy of a batch over the rows of the step."""
        import torch

        labels = inputs.pop("labels")
        weights = None if self.weights is None else torch.tensor(self.weights, device=labels.device)
        return window_loss(model(**inputs)["logits"], labels, items, weights)

    def judge(self, best: float | None) -> Judged:
        """Measure the validation rows; an epoch within a standard error of the best is as good (journal.py)."""
        evaluation = self.recipe.evaluation
        metrics = validate(
            self.validation.labels,
            log_probabilities(self),
            self.label_names,
            bins=evaluation.calibration_bins,
        )
        score: float = getattr(metrics, evaluation.primary_metric)
        highest = max(score, best or 0.0)
        return Judged(
            figures=validation_figures(metrics, self.label_names),
            score=score,
            margin=math.sqrt(highest * (1 - highest) / metrics.rows),
            sentence=f"accuracy {metrics.accuracy:.4f}, F1 {metrics.f1_macro:.4f},"
            f" loss {metrics.log_loss:.4f} on {metrics.rows} validation rows",
        )


def prepare(
    dataset: Dataset,
    base: Base,
    recipe: Recipe,
    *,
    hardware: Hardware | None = None,
    head: Classifier | None = None,
) -> Prepared:
    """Tokenise the rows once, load the model and choose how this machine computes.

    Args:
        dataset: The frozen splits; train and validation are read.
        base: The base model.
        recipe: All settings.
        hardware: How to compute; ``None`` finds it out. A resumed training computes as it began.
        head: The base with a fitted head to start from; ``None`` starts with a head drawn from the seed.

    Raises:
        InputError: When a split is empty, or the machine lacks what the recipe asks for.
    """
    import numpy as np

    training = recipe.training
    label_names = dataset.label_names
    tokenizer = load_tokenizer(base, recipe.model)
    model = load_encoder(base, label_names, recipe.model, seed=recipe.seed)
    if head is not None:
        model.load_state_dict(head.model.state_dict())
    limit = text_limit(model.config, tokenizer, recipe.model)
    train, validation = (
        encode(tokenizer, rows.texts, rows.labels, limit=limit, split=split)
        for split, rows in ((split, dataset.examples(split)) for split in ("train", "validation"))
    )
    if training.method == "lora":
        model = add_lora(model, training.lora, seed=recipe.seed)
    typical = int(np.percentile(train.lengths, TYPICAL_PERCENTILE))
    return Prepared(
        recipe=recipe,
        label_names=label_names,
        tokenizer=tokenizer,
        model=model,
        limit=limit,
        train=train,
        validation=validation,
        batches=Batches(
            train.lengths,
            training.batch_size,
            window=training.gradient_accumulation_steps,
            grouping=training.batching,
            seed=recipe.seed,
        ),
        padding=Padding(
            pad_id=tokenizer.pad_token_id,
            side=tokenizer.padding_side,
            to_length=limit if training.padding == "max_length" else None,
        ),
        weights=class_weights(train.labels, len(label_names), training.class_weights),
        hardware=hardware or choose_hardware(training, typical_length=typical),
    )
