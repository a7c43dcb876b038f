"""A language model's training that could start now."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunewright.models.language.generation import log_likelihoods
from tunewright.models.language.heads import POSITIONS, supervised_logits
from tunewright.models.language.model import LanguageModel
from tunewright.training.hardware import applied
from tunewright.training.kernels import cheaper_steps
from tunewright.training.language.activations import recomputed
from tunewright.training.language.samples import written_samples
from tunewright.training.loss import window_loss
from tunewright.training.plan import Judged, Plan
from tunewright.training.trainer import IGNORED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

    from tunewright.data.chat.rows import ChatRow
    from tunewright.models.chat.masking import Loss
    from tunewright.models.chat.tokenizer import ChatTokenizer
    from tunewright.models.language.description import Identity
    from tunewright.models.language.quantised import Loading
    from tunewright.training.language.rows import MaskedRows

VALIDATION_ROWS = 16
"""Rows a batch: logits over a large vocabulary need memory even without gradients."""


@dataclass(frozen=True, slots=True)
class LanguagePlan(Plan):
    """Training of a language model for any objective."""

    chat: ChatTokenizer
    limit: int
    """Tokens a row is cut at."""
    loss_on: Loss | None
    load_in: Loading
    shown: tuple[ChatRow, ...] = ()
    """Validation rows whose prompts are answered after each epoch."""
    recompute: bool = field(default=False, kw_only=True)
    """Whether activations are computed twice instead of being kept (gradient checkpointing)."""

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Set threads, precision, kernels and what is kept of a step inside the block."""
        with (
            applied(self.hardware),
            cheaper_steps(self.model, self.hardware),
            recomputed(self.model, wanted=self.recompute),
        ):
            yield

    def samples(self) -> Sequence[Mapping[str, str]]:
        """Answer the prompts of ``shown`` greedily."""
        return written_samples(self.model, self.chat, self.shown, limit=self.limit)

    @property
    def arguments(self) -> Mapping[str, Any]:
        """NEFTune's noise: the Trainer adds it to embeddings in training mode alone (arXiv:2310.05914)."""
        alpha = self.recipe.training.neftune_alpha
        return {} if alpha is None else {"neftune_noise_alpha": alpha}

    def finished(self, base: Identity) -> LanguageModel:
        """Return the trained model, in evaluation mode, ready to be asked and saved."""
        return self._finished_as(LanguageModel, base)

    def _finished_as(self, kind: type[LanguageModel], base: Identity) -> LanguageModel:
        return kind(
            self.chat,
            self.model.eval(),
            max_length=self.limit,
            method=self.recipe.training.method,
            loss_on=self.loss_on,
            load_in=self.load_in,
            base=base,
        )


@dataclass(frozen=True, slots=True)
class SupervisedPlan(LanguagePlan):
    """Supervised learning of masked rows."""

    train: MaskedRows
    validation: MaskedRows

    def loss(self, model: Any, inputs: dict[str, torch.Tensor], items: torch.Tensor | int) -> torch.Tensor:  # noqa: ANN401
        """Return the cross-entropy of a batch's tokens with loss over all those of the step.

        The output layer sees their positions alone, which changes no figure (``models.language.heads``).
        """
        labels = inputs.pop("labels")
        logits, targets = supervised_logits(
            model, inputs, labels, ignored=IGNORED, multiple=POSITIONS, unwrapped=self.model
        )
        return window_loss(logits, targets, items)

    def try_validation(self) -> int:
        """Score the longest validation rows: their logits over the vocabulary aren't cut into pieces."""
        order = sorted(range(len(self.validation)), key=lambda row: -len(self.validation.ids[row]))
        self._scores(order[:VALIDATION_ROWS])
        return sum(len(self.validation.ids[row]) for row in order[:VALIDATION_ROWS])

    def judge(self, best: float | None) -> Judged:  # noqa: ARG002 -- the lowest loss wins
        """Score the validation rows: the mean loss of a token, and its exponential."""
        own = self.group.own(len(self.validation))
        found = self.group.join(own, self._scores(own), rows=len(self.validation))
        tokens = sum(map(len, found))
        mean = -math.fsum(map(math.fsum, found)) / tokens
        perplexity = math.exp(min(mean, 700.0))
        return Judged(
            figures={"validation/loss": mean, "validation/perplexity": perplexity},
            score=-mean,
            margin=0.0,
            sentence=f"loss {mean:.4f}, perplexity {perplexity:.3f}, on {tokens:,} tokens of"
            f" {len(self.validation)} validation rows",
        )

    def _scores(self, rows: Sequence[int]) -> list[list[float]]:
        """Return the log-probability of each token with loss of some validation rows."""
        return log_likelihoods(
            self.model,
            [self.validation.ids[row] for row in rows],
            [self.validation.masks[row] for row in rows],
            pad_id=self.chat.setup.pad_id,
            batch_size=VALIDATION_ROWS,
        )


def typical_length(lengths: Sequence[int]) -> int:
    """Return the 95th percentile of lengths."""
    import numpy as np

    return int(np.percentile(np.asarray(lengths), 95))
