"""What a model makes of compared or rated answers: losses and rewards, and the figures that are recorded of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one piece of a batch."""

    sums: torch.Tensor
    """Sums of the loss's terms, shape (terms,)."""
    chosen: torch.Tensor
    """Rewards of chosen or good answers, without gradient."""
    rejected: torch.Tensor
    """Rewards of rejected or bad ones; of pairs in the order of the chosen."""
    paired: bool

    @classmethod
    def of_pairs(cls, terms: Sequence[torch.Tensor], rewards: torch.Tensor) -> Outcome:
        """Return the outcome of pairs with rewards of shape (pairs, 2)."""
        import torch

        kept = rewards.detach()
        return cls(torch.stack(list(terms)), kept[:, 0], kept[:, 1], paired=True)

    @classmethod
    def of_rated(cls, terms: Sequence[torch.Tensor], rewards: torch.Tensor, good: torch.Tensor) -> Outcome:
        """Return the outcome of rated rows with rewards of shape (rows,)."""
        import torch

        kept = rewards.detach()
        return cls(torch.stack(list(terms)), kept[good], kept[~good], paired=False)


@dataclass(slots=True)
class Tally:
    """Outcomes since they were taken last; they stay on their device until then."""

    outcomes: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome without what its gradient needs."""
        self.outcomes.append(
            Outcome(outcome.sums.detach(), outcome.chosen, outcome.rejected, paired=outcome.paired)
        )

    def taken(self) -> list[Outcome]:
        """Return what was kept and forget it."""
        found, self.outcomes = self.outcomes, []
        return found


def reward_figures(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Return mean rewards, how often the better answer has the higher one, and the mean difference.

    Of pairs that are the two answers of a pair; of rated answers every good one is compared with every bad one, a
    tie counting half. A figure that needs answers that aren't there is left out.
    """
    import numpy as np
    import torch

    if not outcomes:
        return {}
    chosen, rejected = (
        torch.cat([getattr(each, name) for each in outcomes]).double().cpu().numpy()
        for name in ("chosen", "rejected")
    )
    figures: dict[str, float] = {}
    if len(chosen):
        figures["rewards/chosen"] = float(chosen.mean())
    if len(rejected):
        figures["rewards/rejected"] = float(rejected.mean())
    if len(chosen) and len(rejected):
        if outcomes[0].paired:
            accuracy = float((chosen > rejected).mean())
        else:
            ranked = np.sort(rejected)
            below = np.searchsorted(ranked, chosen, "left") + np.searchsorted(ranked, chosen, "right")
            accuracy = float(below.mean() / 2 / len(rejected))
        figures["rewards/accuracy"] = accuracy
        figures["rewards/margin"] = float(chosen.mean() - rejected.mean())
    return figures
