"""A training that could start now: what the loop needs to know, whatever kind of model it trains."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tunewright.training.group import ALONE, Group
from tunewright.training.trainer import IGNORED

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch

    from tunewright.config.schema import Recipe
    from tunewright.training.batching import Batches, Padding
    from tunewright.training.hardware import Hardware
    from tunewright.training.trainer import Observer

TOKENS_AT_ONCE = 2048
"""What a CPU computes at once: a batch of 32 × 221 tokens took 2.2 CPU s in pieces of this size, 7.7 s whole."""

READ = {"input_ids", "attention_mask", "position_ids"}
"""What a model reads, of what a padding gives."""
FORWARD_ROWS = 64
"""Rows a batch where nothing but a forward pass is needed: without gradients, activations need little memory."""

DEFAULT_EPOCHS = 3
LEAST_STEPS = 120
"""On 598 messages in 8 intents three epochs are 57 steps: accuracy .74 against .91 after 114 (two seeds, MiniLM)."""


class Rows(Protocol):
    """Rows as token ids, made once and kept in memory."""

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64, shape (rows,)."""
        ...

    @property
    def truncated(self) -> int:
        """Rows that were longer than the limit."""
        ...

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def __getitem__(self, position: int) -> Any:  # noqa: ANN401
        """Return one row as its collator takes it."""
        ...


@dataclass(frozen=True, slots=True)
class Judged:
    """What the validation rows say about the weights of an epoch."""

    figures: Mapping[str, float]
    """Under names that MLflow takes, such as ``validation/loss``."""
    score: float
    """Higher is better; picks the weights that are kept."""
    margin: float
    """How far below the best so far a later epoch's score may lie and still be kept."""
    sentence: str
    """For a person."""


@dataclass(frozen=True, slots=True)
class Plan(ABC):
    """A training that could start now."""

    recipe: Recipe
    tokenizer: Any
    """A Transformers tokenizer."""
    model: Any
    """A Transformers model in fp32, with adapters when asked for."""
    train: Rows
    validation: Rows
    batches: Batches
    padding: Padding
    hardware: Hardware
    group: Group = field(default=ALONE, kw_only=True)
    """This process among those that train together."""
    _plan: dict[int, list[list[list[int]]]] = field(default_factory=dict, repr=False, kw_only=True)
    """The epoch whose batches were asked for last."""

    @abstractmethod
    def computing(self) -> AbstractContextManager[None]:
        """Set threads, precision and kernels of this machine inside the block."""

    @abstractmethod
    def loss(self, model: Any, inputs: dict[str, torch.Tensor], items: torch.Tensor | int) -> torch.Tensor:  # noqa: ANN401
        """Return a batch's share of the step's mean loss.

        Args:
            model: As the Trainer wraps it.
            inputs: What the padding gave, ``labels`` included, on the model's device.
            items: What the mean is over, in the whole step: what ``items`` gave, rows of a classifier, tokens with
                loss of others.

        Raises:
            NonFiniteLossError: On the CPU at once; elsewhere looking would stall the device at every step.
        """

    @abstractmethod
    def judge(self, best: float | None) -> Judged:
        """Go over the validation rows.

        Args:
            best: The best score so far.
        """

    def try_validation(self) -> int:
        """Do the batch of a validation pass that needs most memory, and forget what it says; return its rows' tokens.

        For a forecast; here it is a forward pass.
        """
        import numpy as np
        import torch

        from tunewright.training.hardware import products

        order = np.argsort(-self.validation.lengths, kind="stable")[:FORWARD_ROWS]
        batch = self.padding([self.validation[int(row)] for row in order])
        device = self.hardware.device
        was_training = self.model.training
        self.model.eval()
        with torch.inference_mode(), products(self.hardware):
            for piece in self.pieces(batch):
                self.model(**{name: each.to(device) for name, each in piece.items() if name in READ})
        self.model.train(was_training)
        return int(self.validation.lengths[order].sum())

    def items(self, batches: Sequence[Mapping[str, torch.Tensor]]) -> torch.Tensor:
        """Return what the mean of a step's loss is over, as ``loss`` takes it.

        Args:
            batches: All batches of the step, as the padding gave them.
        """
        import torch

        return torch.stack([batch["labels"].ne(IGNORED).sum() for batch in batches]).sum()

    def gathered(self, figures: Mapping[str, float]) -> Mapping[str, float]:  # noqa: ARG002 -- for others
        """Return more figures of the steps since the last call, under names that MLflow takes.

        Args:
            figures: What the Trainer logs for the same steps.
        """
        return {}

    def samples(self) -> Sequence[Mapping[str, str]]:
        """Return what the model says now to a few prompts, for a person to read; a row each."""
        return ()

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Arguments of the Trainer that this kind of training adds."""
        return {}

    def trainer(self, observer: Observer, folder: Path) -> Any:  # noqa: ANN401
        """Return a Transformers Trainer that is ready to ``train()``; see ``trainer.build_trainer``."""
        from tunewright.training.trainer import build_trainer

        return build_trainer(self, observer, folder)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights, frozen ones included."""
        return sum(weight.numel() * weight.element_size() for weight in self.model.parameters())

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch; the last one may gather fewer batches."""
        return math.ceil(len(self.batches) / self.batches.window)

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
        return sum(lengths), self.padding.computed(lengths, tokens=self._tokens_at_once)

    def pieces(self, batch: Mapping[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
        """Return a batch as it is computed: in pieces on a CPU, whole elsewhere."""
        return self.padding.pieces(batch, tokens=self._tokens_at_once)

    @property
    def _tokens_at_once(self) -> int:
        if self.group.takes_batches_whole or self.hardware.device != "cpu":
            return sys.maxsize
        return TOKENS_AT_ONCE
