"""The loss: cross-entropy as a mean over every row of the optimiser step, with optional class weights.

When several batches make one step, a mean of batch means is wrong as soon as a batch is smaller than the others.
Each batch therefore gives its sum over rows, divided by the rows of the whole window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

AUTO_IMBALANCE = 10.0
"""``auto`` weighs classes when the largest has at least this many times the rows of the smallest."""


class NonFiniteLossError(ArithmeticError):
    """The loss became infinite or not a number."""


def class_weights(
    labels: Sequence[int], classes: int, mode: Literal["auto", "balanced", "none"]
) -> tuple[float, ...] | None:
    """Return a weight for each class, inverse to its rows, with mean 1 over the training rows.

    Args:
        labels: Class ids of the training rows.
        classes: Number of classes; one without rows gets weight 1.
        mode: ``balanced`` weighs always, ``auto`` only when the classes are very unequal, ``none`` never.
    """
    import numpy as np

    counts = np.bincount(np.asarray(labels, dtype=np.int64), minlength=classes)
    present = counts[counts > 0]
    if mode == "none" or (mode == "auto" and present.max() / present.min() < AUTO_IMBALANCE):
        return None
    share = len(labels) / len(present)
    return tuple(float(share / count) if count else 1.0 for count in counts)


def window_loss(
    logits: torch.Tensor, labels: torch.Tensor, items: torch.Tensor | int, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return a batch's share of a step's mean cross-entropy.

    Args:
        logits: Scores, shape (n, classes).
        labels: Class ids, shape (n,).
        items: What the mean is over, in the whole step.
        weights: Weight of each class, float32 (classes,).

    Raises:
        NonFiniteLossError: On the CPU at once; elsewhere looking would stall the device at every step.
    """
    import torch

    total = torch.nn.functional.cross_entropy(logits.float(), labels, weight=weights, reduction="sum")
    loss: torch.Tensor = total / items
    if loss.device.type == "cpu" and not torch.isfinite(loss):
        raise NonFiniteLossError
    return loss
