"""Everything that a training needs, made from the recipe: rows as tokens, the model, batches, the machine."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunewright.models.adapters import add_lora
from tunewright.models.loading import load_encoder
from tunewright.models.tokenizers import load_tokenizer, text_limit
from tunewright.training.batching import Batches, Encoded, Padding, encode, spans
from tunewright.training.hardware import Hardware, applied, choose_hardware
from tunewright.training.kernels import SAMPLE_ROWS, cheaper_kernels
from tunewright.training.loss import class_weights
from tunewright.training.vocabulary import used_tokens_only

if TYPE_CHECKING:
    import torch

    from tunewright.config.schema import Recipe
    from tunewright.data.dataset import Dataset
    from tunewright.models.catalogue import Base
    from tunewright.models.classifier import Classifier

TYPICAL_PERCENTILE = 95
TOKENS_AT_ONCE = 2048
"""What a CPU computes at once: a batch of 32 × 221 tokens took 2.2 CPU s in pieces of this size, 7.7 s whole."""

DEFAULT_EPOCHS = 3
LEAST_STEPS = 120
"""On 598 messages in 8 intents three epochs are 57 steps: accuracy .74 against .91 after 114 (two seeds, MiniLM)."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A training that could start now."""

    recipe: Recipe
    label_names: tuple[str, ...]
    tokenizer: Any
    """A Transformers tokenizer."""
    model: Any
    """A Transformers model for sequence classification in fp32, with adapters when asked for."""
    limit: int
    """Tokens a text is cut at."""
    train: Encoded
    validation: Encoded
    batches: Batches
    padding: Padding
    weights: tuple[float, ...] | None
    """Weight of each class in the loss."""
    hardware: Hardware
    _plan: dict[int, list[list[list[int]]]] = field(default_factory=dict, repr=False)
    """The epoch whose batches were asked for last."""

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights, frozen ones included."""
        return sum(weight.numel() * weight.element_size() for weight in self.model.parameters())

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch; the last one may gather fewer batches."""
        return math.ceil(len(self.batches) / self.recipe.training.gradient_accumulation_steps)

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole training."""
        return max(1, math.ceil(self.epochs * self.steps_per_epoch))

    @property
    def epochs(self) -> float:
        """Passes over the training rows: the recipe's, or enough for small data to be learned at all."""
        enough = math.ceil(LEAST_STEPS / self.steps_per_epoch)
        return self.recipe.training.epochs or max(DEFAULT_EPOCHS, enough)

    def window(self, step: int) -> list[list[int]]:
        """Return the batches of an optimiser step, counted from 1 over all epochs."""
        epoch, at = divmod(step - 1, self.steps_per_epoch)
        return self.steps(epoch)[at]

    def steps(self, epoch: int) -> list[list[list[int]]]:
        """Return the batches of an epoch, counted from 0, step by step."""
        if epoch not in self._plan:
            self._plan.clear()
            self._plan[epoch] = self.batches.steps(epoch)
        return self._plan[epoch]

    def tokens(self, batch: list[int]) -> tuple[int, int]:
        """Return useful and computed tokens of a batch, as it is padded and cut here."""
        lengths = self.train.lengths[batch].tolist()
        pieces = spans(lengths, self.padding.to_length, tokens=self._tokens_at_once)
        return sum(lengths), sum((end - start) * width for start, end, width in pieces)

    def pieces(self, batch: Mapping[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
        """Return a batch as it is computed: in pieces on a CPU, whole elsewhere."""
        return self.padding.pieces(batch, tokens=self._tokens_at_once)

    @property
    def _tokens_at_once(self) -> int:
        return TOKENS_AT_ONCE if self.hardware.device == "cpu" else sys.maxsize

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
