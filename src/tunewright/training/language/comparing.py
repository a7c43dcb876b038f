"""Trainings on compared or rated answers: DPO, ORPO, KTO and reward models, in the loop that all trainings share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunewright.models.language.generation import evaluating
from tunewright.models.language.reward import RewardModel
from tunewright.training.language.compared import MISMATCHED, PairPadding, PairRows, RatedPadding, RatedRows
from tunewright.training.language.objectives import bradley_terry_loss, dpo_loss, kto_loss, odds_ratio_loss
from tunewright.training.language.outcomes import Outcome, Tally, reward_figures
from tunewright.training.language.plan import VALIDATION_ROWS, LanguagePlan
from tunewright.training.language.scoring import answer_log_probabilities
from tunewright.training.loss import NonFiniteLossError
from tunewright.training.plan import Judged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import torch

    from tunewright.models.language.description import Identity
    from tunewright.models.language.model import LanguageModel

VALIDATION_PAIRS = VALIDATION_ROWS // 2


@dataclass(frozen=True, slots=True)
class ComparingPlan(LanguagePlan):
    """What the trainings on compared or rated answers have in common."""

    tally: Tally = field(default_factory=Tally, kw_only=True)
    """Rewards of the steps since the last record."""

    @abstractmethod
    def outcome(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> Outcome:  # noqa: ANN401
        """Return the sums of a piece's losses, and its rewards."""

    @abstractmethod
    def batches_of(self, rows: Any) -> Iterator[list[int]]:  # noqa: ANN401
        """Give the batches in which validation rows are judged."""

    def loss(self, model: Any, inputs: dict[str, torch.Tensor], items: torch.Tensor | int) -> torch.Tensor:  # noqa: ANN401
        """Return a piece's share of the step's mean loss, a mean for each term of it."""
        import torch

        outcome = self.outcome(model, inputs)
        loss: torch.Tensor = (outcome.sums / items).sum()
        if loss.device.type == "cpu" and not torch.isfinite(loss):
            raise NonFiniteLossError
        self.tally.add(outcome)
        return loss

    def gathered(self, figures: Mapping[str, float]) -> Mapping[str, float]:  # noqa: ARG002
        """Return the rewards of the steps since the last call."""
        return reward_figures(self.tally.taken())

    def try_validation(self) -> int:
        """Score the first batch of validation rows, which is the longest."""
        positions = next(iter(self.batches_of(self.validation)))
        self._outcomes([positions])
        return int(self.validation.lengths[positions].sum())

    def judge(self, best: float | None) -> Judged:  # noqa: ARG002 -- the lowest loss wins
        """Score the validation rows by the same loss."""
        import torch

        outcomes, items = self._outcomes(self.batches_of(self.validation))
        sums = [each.sums for each in outcomes]
        loss = float((torch.stack(sums).sum(dim=0) / torch.stack(items).sum(dim=0)).sum())
        rewards = reward_figures(outcomes)
        said = [f"loss {loss:.4f}"]
        if "rewards/accuracy" in rewards:
            said.append(f"the better answer has the higher reward in {rewards['rewards/accuracy']:.1%}")
        return Judged(
            figures={
                "validation/loss": loss,
                **{f"validation/{name}": value for name, value in rewards.items()},
            },
            score=-loss,
            margin=0.0,
            sentence=f"{', '.join(said)} of {len(self.validation)} validation rows",
        )

    def _outcomes(self, batches: Iterable[list[int]]) -> tuple[list[Outcome], list[torch.Tensor]]:
        """Return the outcome of each piece of some batches of validation rows, and what each batch's mean is over."""
        import torch

        device = next(self.model.parameters()).device
        outcomes: list[Outcome] = []
        items: list[torch.Tensor] = []
        with evaluating(self.model), torch.inference_mode():
            for positions in batches:
                rows = self.padding([self.validation[at] for at in positions])
                batch = {name: tensor.to(device) for name, tensor in rows.items()}
                items.append(self.items([batch]))
                outcomes += [self.outcome(self.model, piece) for piece in self.pieces(batch)]
        return outcomes, items


@dataclass(frozen=True, slots=True)
class PairPlan(ComparingPlan):
    """Learning from pairs of a chosen and a rejected answer."""

    train: PairRows
    validation: PairRows
    padding: PairPadding

    def batches_of(self, rows: PairRows) -> Iterator[list[int]]:
        """Give pairs of similar length together, longest first."""
        order = sorted(range(len(rows)), key=lambda at: -int(rows.lengths[at]))
        return (order[at : at + VALIDATION_PAIRS] for at in range(0, len(order), VALIDATION_PAIRS))

    def tokens(self, batch: list[int]) -> tuple[int, int]:
        """Return useful and computed tokens of a batch: both answers are as wide as the longer one."""
        chosen, rejected = (rows.lengths[batch].tolist() for rows in self.train.sequences)
        widths = [max(each) for each in zip(chosen, rejected, strict=True)]
        half = self.padding.computed(widths, tokens=self._tokens_at_once // 2)
        return sum(chosen) + sum(rejected), 2 * half

    def _ratios(
        self,
        model: Any,  # noqa: ANN401
        inputs: Mapping[str, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log-probabilities and tokens of chosen and rejected answers, each (pairs, 2)."""
        values, tokens = answer_log_probabilities(model, inputs, unwrapped=self.model)
        return values.view(-1, 2), tokens.view(-1, 2)


@dataclass(frozen=True, slots=True)
class DpoPlan(PairPlan):
    """Direct preference optimisation: pairs against a reference model."""

    def outcome(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> Outcome:  # noqa: ANN401
        """Return the loss, and as rewards β times the log-ratios."""
        settings = self.recipe.training.preference
        values, tokens = self._ratios(model, inputs)
        ratios = values - inputs["reference"]
        losses = dpo_loss(ratios, tokens, beta=settings.beta, kind=settings.loss)
        return Outcome.of_pairs([losses.sum()], settings.beta * ratios)


@dataclass(frozen=True, slots=True)
class OrpoPlan(PairPlan):
    """Odds ratio preference optimisation: cross-entropy of the chosen answer, and its odds against the rejected one."""

    def items(self, batches: Sequence[Mapping[str, torch.Tensor]]) -> torch.Tensor:
        """Return the chosen answers' tokens with loss, and the pairs: the means of the two terms."""
        import torch

        tokens = torch.stack([batch["answer_mask"][::2, 1:].sum() for batch in batches]).sum()
        # Not super(): a dataclass with slots is made anew, and the name would be of another class.
        return torch.stack([tokens, LanguagePlan.items(self, batches)])

    def outcome(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> Outcome:  # noqa: ANN401
        """Return both terms, and as rewards β times the mean log-probabilities."""
        beta = self.recipe.training.preference.beta
        values, tokens = self._ratios(model, inputs)
        means = values / tokens
        return Outcome.of_pairs([-values[:, 0].sum(), odds_ratio_loss(means, beta=beta).sum()], beta * means)


@dataclass(frozen=True, slots=True)
class RewardPlan(PairPlan):
    """A model with one score an answer: the chosen one's is to be the higher."""

    def outcome(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> Outcome:  # noqa: ANN401
        """Return the loss, and as rewards the scores."""
        found = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        scores = found.logits.float().view(-1, 2)
        return Outcome.of_pairs([bradley_terry_loss(scores).sum()], scores)

    def samples(self) -> Sequence[Mapping[str, str]]:
        """Return nothing: it doesn't write."""
        return ()

    def finished(self, base: Identity) -> LanguageModel:
        """Return the trained model, which scores answers."""
        return self._finished_as(RewardModel, base)


@dataclass(frozen=True, slots=True)
class KtoPlan(ComparingPlan):
    """Learning from answers that were rated on their own, against a reference model."""

    train: RatedRows
    validation: RatedRows
    padding: RatedPadding
    validation_batches: tuple[tuple[int, ...], ...] = ()
    """Those within which validation rows were mismatched."""

    def batches_of(self, rows: RatedRows) -> Iterator[list[int]]:  # noqa: ARG002
        """Give the batches within which rows were mismatched: their answers must be the same on both sides."""
        return map(list, self.validation_batches)

    def tokens(self, batch: list[int]) -> tuple[int, int]:
        """Return useful and computed tokens of a batch, mismatched rows included."""
        lengths = [rows.lengths[batch].tolist() for rows in self.train.sequences]
        computed = sum(self.padding.computed(each, tokens=self._tokens_at_once) for each in lengths)
        return sum(map(sum, lengths)), computed

    def pieces(self, batch: Mapping[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
        """Return a batch in pieces that know the distance from the reference of the whole batch.

        It is the mean log-ratio of the mismatched rows, not below 0, and has no gradient; so it is computed before
        any piece, and the pieces' gradients add up to those of the batch.
        """
        rows = {name: tensor for name, tensor in batch.items() if not name.startswith(MISMATCHED)}
        rows["shift"] = self._shift(batch).expand(len(batch["labels"]))
        return self.padding.pieces(rows, tokens=self._tokens_at_once)

    def outcome(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> Outcome:  # noqa: ANN401
        """Return the loss, and as rewards β times the log-ratios."""
        settings = self.recipe.training.preference
        values, _ = answer_log_probabilities(model, inputs, unwrapped=self.model)
        ratios, good = values - inputs["reference"][:, 0], inputs["labels"] == 1
        losses = kto_loss(
            ratios,
            good,
            inputs["shift"],
            beta=settings.beta,
            desirable_weight=settings.desirable_weight,
            undesirable_weight=settings.undesirable_weight,
        )
        return Outcome.of_rated([losses.sum()], settings.beta * ratios, good)

    def _shift(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return how far the model is from the reference on a batch's mismatched rows, shape ()."""
        import torch

        others = {
            name.removeprefix(MISMATCHED): tensor
            for name, tensor in batch.items()
            if name.startswith(MISMATCHED)
        }
        others["reference"] = batch["reference"][:, 1]
        with evaluating(self.model), torch.no_grad():
            ratios = [
                answer_log_probabilities(self.model, piece)[0] - piece["reference"]
                for piece in self.padding.pieces(others, tokens=self._tokens_at_once)
            ]
        return torch.cat(ratios).mean().clamp(min=0)
