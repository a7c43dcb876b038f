"""What is learned from answers that somebody compared or rated: the losses of their papers, as pure functions.

Each gives one value a pair or row and takes no mean. ``docs/preference-tuning.md`` says where TRL takes another one;
the tests hold values and gradients against TRL's trainers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

DpoLoss = Literal["sigmoid", "ipo", "hinge"]


def dpo_loss(
    ratios: torch.Tensor, tokens: torch.Tensor, *, beta: float, kind: DpoLoss = "sigmoid"
) -> torch.Tensor:
    """Return the loss of pairs against a reference model.

    With r the log-ratio log π(y|x) - log π_ref(y|x) of the chosen answer less that of the rejected one:
    ``sigmoid`` is -log σ(βr) (DPO, arXiv:2305.18290, equation 7), ``hinge`` max(0, 1 - βr) (SLiC, arXiv:2305.10425),
    and ``ipo`` (r - 1/2β)², where each log-ratio is a mean over the answer's tokens (arXiv:2310.12036, equation 17;
    the mean is that of its authors' experiments).

    Args:
        ratios: Log-ratios of chosen and rejected answers, summed over tokens, shape (pairs, 2).
        tokens: Tokens with loss of both, shape (pairs, 2).
        beta: How strongly the model is held to the reference.
        kind: Which loss.

    Returns:
        Shape (pairs,).
    """
    import torch

    if kind == "ipo":
        means = ratios / tokens.clamp(min=1)
        return (means[:, 0] - means[:, 1] - 1 / (2 * beta)) ** 2
    scaled = beta * (ratios[:, 0] - ratios[:, 1])
    if kind == "hinge":
        return torch.relu(1 - scaled)
    return -torch.nn.functional.logsigmoid(scaled)


def odds_ratio_loss(means: torch.Tensor, *, beta: float) -> torch.Tensor:
    """Return ORPO's second term, -β log σ(log odds(chosen) - log odds(rejected)) (arXiv:2403.07691, equation 7).

    The odds are p / (1 - p), p being the geometric mean of an answer's token probabilities. The first term is the
    usual cross-entropy of the chosen answer.

    Args:
        means: Mean log-probability of a token of chosen and rejected answers, shape (pairs, 2).
        beta: Weight of this term, the paper's λ.

    Returns:
        Shape (pairs,).
    """
    import torch

    odds = means - _log_of_rest(means)
    return -beta * torch.nn.functional.logsigmoid(odds[:, 0] - odds[:, 1])


def kto_loss(
    ratios: torch.Tensor,
    good: torch.Tensor,
    shift: torch.Tensor,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> torch.Tensor:
    """Return the loss of rated answers against a reference model (arXiv:2402.01306, equation 8).

    It is w (1 - σ(β(r - z))) for a good answer and w (1 - σ(β(z - r))) for a bad one, r being the log-ratio
    log π(y|x) - log π_ref(y|x) and z an estimate of how far the model is from the reference at all.

    Args:
        ratios: Log-ratios, summed over tokens, shape (rows,).
        good: Whether each answer was rated good, bool, shape (rows,).
        shift: z, shape () or (rows,); no gradient passes through it.
        beta: How strongly the model is held to the reference.
        desirable_weight: w of good answers.
        undesirable_weight: w of bad ones.

    Returns:
        Shape (rows,).
    """
    import torch

    sign = torch.where(good, 1.0, -1.0)
    weights = torch.where(good, desirable_weight, undesirable_weight)
    return weights * (1 - torch.sigmoid(beta * sign * (ratios - shift.detach())))


def bradley_terry_loss(scores: torch.Tensor) -> torch.Tensor:
    """Return -log σ(chosen - rejected), the negative log-likelihood of the choice (Bradley and Terry 1952).

    Args:
        scores: Of chosen and rejected answers, shape (pairs, 2).

    Returns:
        Shape (pairs,).
    """
    import torch

    return -torch.nn.functional.logsigmoid(scores[:, 0] - scores[:, 1])


def _log_of_rest(log_probability: torch.Tensor) -> torch.Tensor:
    """Return log(1 - e^x) for x < 0 without cancellation (Mächler 2012, equation 7)."""
    import torch

    near = log_probability > -math.log(2)
    # Each branch gets values that it can take: the gradient of the other one would else be 0 · ∞.
    small = torch.where(near, log_probability, -1.0)
    large = torch.where(near, -1.0, log_probability)
    return torch.where(near, torch.log(-torch.expm1(small)), torch.log1p(-torch.exp(large)))
