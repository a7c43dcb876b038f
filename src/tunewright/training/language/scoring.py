"""How probable a model finds answers: log-probabilities summed over the tokens with loss, with gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunewright.models.language.heads import POSITIONS, supervised_logits
from tunewright.training.trainer import IGNORED

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch


def answer_log_probabilities(
    model: Any,  # noqa: ANN401
    batch: Mapping[str, torch.Tensor],
    *,
    unwrapped: Any = None,  # noqa: ANN401
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log π(y|x) in nats of each row's answer, and its tokens.

    Args:
        model: A causal model, as a training loop wraps it.
        batch: ``input_ids``, ``attention_mask`` and ``answer_mask``, each (rows, length); the first token of a row
            never counts, for nothing predicts it.
        unwrapped: The model itself, where a loop wraps it.

    Returns:
        float32 (rows,) and int64 (rows,).
    """
    import torch

    labels = batch["input_ids"].masked_fill(batch["answer_mask"] == 0, IGNORED)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    logits, targets = supervised_logits(
        model, inputs, labels, ignored=IGNORED, multiple=POSITIONS, unwrapped=unwrapped
    )
    values = -torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    counted = labels[:, 1:] != IGNORED
    # Laid out as the rows are, so that the sum has one order on every device.
    laid_out = torch.zeros(counted.shape, dtype=values.dtype, device=values.device)
    return laid_out.masked_scatter(counted, values).sum(dim=1), counted.sum(dim=1)
