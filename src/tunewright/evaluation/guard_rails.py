"""What a better model must not cost: time, size, honest confidence, and any part of the rows.

A rail that compares many slices, or a noisy figure, would stop good models by chance. Each therefore needs
both a fall beyond its limit and evidence that the fall isn't chance; slices share one error rate by Holm's
procedure (Holm 1979, "A simple sequentially rejective multiple test procedure").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.data.dataset import Facts
from tunewright.evaluation.bootstrap import calibration_rises
from tunewright.evaluation.calibration import bin_of, expected_calibration_error
from tunewright.evaluation.comparison import mid_p

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from tunewright.config.schema import EvaluationConfig, Gate
    from tunewright.evaluation.predictions import Predictions

CALIBRATION_SAMPLES = 500
"""Resamples that tell a real rise of the calibration error from chance; drawn only beyond the limit."""


class GuardRail(Facts):
    """One thing that must not get worse."""

    name: str
    held: bool
    figure: float | None
    """What was measured: a ratio, a rise or a fall; nothing when it could not be measured."""
    limit: float
    p: float | None = None
    """Chance of such a fall between equally good models, where the rail tests for it."""
    sentence: str


def guard_rails(
    challenger: Predictions,
    incumbent: Predictions,
    *,
    label_names: Sequence[str],
    slices: Mapping[str, np.ndarray],
    config: EvaluationConfig,
    seed: int,
) -> tuple[GuardRail, ...]:
    """Check a challenger against an incumbent on the same rows in the same order.

    Args:
        challenger: Its answers.
        incumbent: The other's, aligned with them.
        label_names: Names by class id; the rows of each label are a slice too.
        slices: Which rows each slice holds, boolean arrays aligned with the answers.
        config: Limits and level.
        seed: Of the resampling.
    """
    by_label = {f"label {name}": challenger.labels == position for position, name in enumerate(label_names)}
    return (
        _latency(challenger, incumbent, config.gate),
        _size(challenger, incumbent, config.gate),
        _calibration(challenger, incumbent, config, seed=seed),
        *_slices(challenger.correct, incumbent.correct, {**slices, **by_label}, config.gate),
    )


def _latency(challenger: Predictions, incumbent: Predictions, gate: Gate) -> GuardRail:
    """Compare the 95th percentile of single answers."""
    new, old = challenger.latency, incumbent.latency
    if new is None or old is None:
        return _unmeasured("latency", gate.max_latency_ratio)
    return _ratio_rail("latency", new.p95_ms, old.p95_ms, gate.max_latency_ratio, "95th percentile", "ms")


def _size(challenger: Predictions, incumbent: Predictions, gate: Gate) -> GuardRail:
    """Compare bytes."""
    new, old = challenger.size_bytes, incumbent.size_bytes
    if new is None or old is None:
        return _unmeasured("size", gate.max_size_ratio)
    return _ratio_rail("size", new / 1e6, old / 1e6, gate.max_size_ratio, "size", "MB")


def _ratio_rail(name: str, new: float, old: float, limit: float, what: str, unit: str) -> GuardRail:
    """Hold a cost below a multiple of the incumbent's."""
    held = new <= limit * old
    sentence = f"{what} {new:,.4g} {unit} against {old:,.4g} {unit}; at most {limit:g} times is allowed"
    return GuardRail(name=name, held=held, figure=new / old if old else None, limit=limit, sentence=sentence)


def _unmeasured(name: str, limit: float) -> GuardRail:
    """Say that a cost is unknown for one of the two."""
    return GuardRail(
        name=name, held=True, figure=None, limit=limit, sentence=f"{name} was not measured for both"
    )


def _calibration(
    challenger: Predictions, incumbent: Predictions, config: EvaluationConfig, *, seed: int
) -> GuardRail:
    """Compare the expected calibration error."""
    limit, bins = config.gate.max_calibration_loss, config.calibration_bins
    both = (challenger, incumbent)
    new, old = (expected_calibration_error(one.labels, one.log_probabilities, bins=bins) for one in both)
    p = None
    if new - old > limit:
        rises = calibration_rises(
            [one.confidence - one.correct for one in both],
            [bin_of(one.confidence, bins) for one in both],
            count=bins,
            samples=CALIBRATION_SAMPLES,
            seed=seed,
        )
        p = float((rises <= 0).mean())
    held = p is None or p > config.gate.alpha
    sentence = f"calibration error {new:.3f} against {old:.3f}; a rise of at most {limit:g} is allowed"
    return GuardRail(name="calibration", held=held, figure=new - old, limit=limit, p=p, sentence=sentence)


def _slices(
    challenger: np.ndarray, incumbent: np.ndarray, slices: Mapping[str, np.ndarray], gate: Gate
) -> list[GuardRail]:
    """Look for slices on which accuracy fell beyond the limit and beyond chance; one line when none did."""
    voting = {name: mask for name, mask in slices.items() if mask.sum() >= gate.min_slice_rows}
    falls = [
        (
            mid_p(int((incumbent & ~challenger & mask).sum()), int((challenger & ~incumbent & mask).sum())),
            float(incumbent[mask].mean() - challenger[mask].mean()),
            name,
        )
        for name, mask in voting.items()
    ]
    fallen = [
        GuardRail(
            name=f"slice: {name}",
            held=False,
            figure=fall,
            limit=gate.max_slice_loss,
            p=p,
            sentence=f"accuracy fell by {100 * fall:.1f} points on {int(voting[name].sum()):,} rows ({name});"
            f" at most {100 * gate.max_slice_loss:g} points are allowed",
        )
        for p, fall, name in _holm(falls, alpha=gate.alpha)
        if fall > gate.max_slice_loss
    ]
    if fallen:
        return fallen
    worst = max((fall for _, fall, _ in falls), default=None)
    silent = len(slices) - len(voting)
    sentence = f"no proven fall beyond the limit on {len(voting)} slices"
    if silent:
        sentence += f"; {silent} with fewer than {gate.min_slice_rows} rows don't vote"
    return [GuardRail(name="slices", held=True, figure=worst, limit=gate.max_slice_loss, sentence=sentence)]


def _holm(falls: list[tuple[float, float, str]], *, alpha: float) -> list[tuple[float, float, str]]:
    """Return the tests, smallest p first, that reject when their chance of any wrong rejection is ``alpha``."""
    ordered = sorted(falls)
    for position, (p, _, _) in enumerate(ordered):
        if p > alpha / (len(ordered) - position):
            return ordered[:position]
    return ordered
