"""Whether a challenger replaces the champion: a statistical decision on the same frozen rows.

``docs/gate.md`` explains the rules and shows how often they are wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tunewright.data.dataset import Facts
from tunewright.evaluation.comparison import Comparison, align, compare, rows_needed
from tunewright.evaluation.guard_rails import GuardRail, guard_rails
from tunewright.evaluation.intervals import paired_difference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from tunewright.config.schema import EvaluationConfig, Gate
    from tunewright.evaluation.intervals import Interval
    from tunewright.evaluation.predictions import Predictions

Decision = Literal["promote", "keep", "cannot_tell"]
MOST_SENTENCES = 3
"""Broken guard rails that the reasons spell out."""
LEAST_P = 1e-4
"""Smaller p values are written as "below"."""
LEAST_GAIN = 0.001
"""Smallest gain that rows are counted for, when ``min_gain`` is 0: a tenth of a point."""


class Verdict(Facts):
    """What the gate decided, why, and every figure that it looked at."""

    decision: Decision
    summary: str
    """One sentence for a person."""
    reasons: tuple[str, ...]
    """One sentence each; the first is what decided."""
    notes: tuple[str, ...] = ()
    """What a reader should know beside: rows left out, guard rails that could not look."""
    challenger: str
    incumbent: str | None
    rows: int
    """Test rows that the decision rests on."""
    rows_needed: int | None = None
    """With ``cannot_tell``: about so many more labelled test rows would tell."""
    against_incumbent: Comparison | None = None
    against_trivial: Comparison | None = None
    against_base: Comparison | None = None
    guard_rails: tuple[GuardRail, ...] = ()
    thresholds: dict[str, float]
    """The gate's settings."""
    seed: int


class _Finding(Facts):
    """What the rules make of the figures, before it is written up."""

    decision: Decision
    reasons: tuple[str, ...]
    rows_needed: int | None = None


def decide(
    challenger: Predictions,
    incumbent: Predictions | None,
    *,
    label_names: Sequence[str],
    slices: Mapping[str, np.ndarray],
    config: EvaluationConfig,
    trivial: Predictions,
    base: Predictions | None,
    seed: int,
) -> Verdict:
    """Decide whether a challenger takes the champion's place.

    Args:
        challenger: The candidate's answers on the frozen test rows.
        incumbent: The champion's on the same rows; nothing when there is no champion yet.
        label_names: Names by class id.
        slices: Parts of the rows that must not get worse, boolean arrays in the challenger's row order.
        config: Intervals and the gate's settings.
        trivial: Answers of the trivial model that a first champion must beat.
        base: Answers of the untouched base, which a first champion must not fall behind.
        seed: Makes the resampling repeatable.

    Raises:
        InputError: When the models share no row or know different label sets.
    """
    against_trivial = compare(challenger, trivial, label_names, config, seed=seed)
    against_base = None if base is None else compare(challenger, base, label_names, config, seed=seed)
    against_incumbent = None
    rails: tuple[GuardRail, ...] = ()
    if incumbent is None:
        finding = next(_first(against_trivial, against_base, config.gate))
        deciding = against_trivial
    else:
        against_incumbent = compare(challenger, incumbent, label_names, config, seed=seed)
        rails = _rails(challenger, incumbent, label_names, slices, config, seed=seed)
        finding = next(_challenge(against_incumbent, rails, config.gate))
        deciding = against_incumbent
    return Verdict(
        decision=finding.decision,
        summary=_summary(finding, challenger.name, incumbent),
        reasons=finding.reasons,
        notes=deciding.notes
        + tuple(f"{rail.name}: {rail.sentence}" for rail in rails if rail.figure is None),
        challenger=challenger.name,
        incumbent=None if incumbent is None else incumbent.name,
        rows=deciding.rows,
        rows_needed=finding.rows_needed,
        against_incumbent=against_incumbent,
        against_trivial=against_trivial,
        against_base=against_base,
        guard_rails=rails,
        thresholds=config.gate.model_dump(),
        seed=seed,
    )


def _rails(
    challenger: Predictions,
    incumbent: Predictions,
    label_names: Sequence[str],
    slices: Mapping[str, np.ndarray],
    config: EvaluationConfig,
    *,
    seed: int,
) -> tuple[GuardRail, ...]:
    """Bring answers and slices to the same rows, then check the guard rails."""
    import numpy as np

    new, old, _ = align(challenger, incumbent)
    order = np.argsort(challenger.rows)
    positions = order[np.searchsorted(challenger.rows, new.rows, sorter=order)]
    aligned = {name: mask[positions] for name, mask in slices.items()}
    return guard_rails(new, old, label_names=label_names, slices=aligned, config=config, seed=seed)


def _challenge(found: Comparison, rails: tuple[GuardRail, ...], gate: Gate) -> Iterator[_Finding]:
    """Judge a challenger against the champion: rules in order, the first that applies decides."""
    told, more = _told(found), _more_rows(found, gate)
    if found.rows < gate.min_rows:
        yield _too_few(found, gate)
    broken = _broken(rails)
    if found.p_b_better <= gate.alpha:
        yield _Finding(decision="keep", reasons=(told, "the champion is more often right", *broken))
    if found.f1_macro.high < 0:
        yield _Finding(decision="keep", reasons=(f"macro F1 fell, {_points(found.f1_macro)}", told, *broken))
    if broken:
        yield _Finding(decision="keep", reasons=(*broken, told))
    if found.p_a_better_exact <= gate.alpha and found.f1_macro.value < -gate.min_gain:
        reason = f"it is more often right, but macro F1 may have fallen, {_points(found.f1_macro)}"
        yield _Finding(decision="cannot_tell", reasons=(reason, told), rows_needed=more or found.rows)
    if found.p_a_better_exact <= gate.alpha:
        yield _Finding(decision="promote", reasons=(told, f"macro F1 {_points(found.f1_macro)}"))
    if found.same_answers == found.rows:
        yield _Finding(decision="keep", reasons=(f"both give the same answers on all {found.rows:,} rows",))
    if more is None:
        reason = f"a gain of {100 * gate.min_gain:g} points should have shown on {found.rows:,} rows"
        yield _Finding(decision="keep", reasons=(reason, told))
    yield _Finding(decision="cannot_tell", reasons=(told,), rows_needed=more)


def _first(trivial: Comparison, base: Comparison | None, gate: Gate) -> Iterator[_Finding]:
    """Judge a challenger when there is no champion yet, in the same manner."""
    told, more = _told(trivial), _more_rows(trivial, gate)
    if trivial.rows < gate.min_rows:
        yield _too_few(trivial, gate)
    if base is not None and base.p_b_better <= gate.alpha:
        yield _Finding(decision="keep", reasons=(_told(base), "the untouched base is more often right"))
    if base is not None and base.f1_macro.high < 0:
        reason = f"macro F1 is below the untouched base's, {_points(base.f1_macro)}"
        yield _Finding(decision="keep", reasons=(reason, _told(base)))
    if trivial.p_a_better_exact <= gate.alpha:
        yield _Finding(decision="promote", reasons=(told,))
    # Where one label has nearly all rows, a useful model may be right no more often than "always that label";
    # its mean recall and macro F1 tell it from one that knows nothing.
    if trivial.balanced_accuracy.low > 0 and trivial.f1_macro.low > 0:
        reason = f"mean recall of the labels {_points(trivial.balanced_accuracy)} over {trivial.b}"
        yield _Finding(decision="promote", reasons=(reason, told))
    if trivial.p_b_better <= gate.alpha:
        yield _Finding(decision="keep", reasons=(told, "the trivial model is more often right"))
    if more is None:
        reason = f"it should have beaten {trivial.b} on {trivial.rows:,} rows"
        yield _Finding(decision="keep", reasons=(reason, told))
    yield _Finding(decision="cannot_tell", reasons=(told,), rows_needed=more)


def _too_few(found: Comparison, gate: Gate) -> _Finding:
    """Refuse to decide on fewer rows than the gate asks for."""
    missing = gate.min_rows - found.rows
    reason = f"{found.rows:,} test rows are fewer than the {gate.min_rows:,} that the gate asks for"
    return _Finding(
        decision="cannot_tell", reasons=(reason,), rows_needed=max(missing, _more_rows(found, gate) or 0)
    )


def _more_rows(found: Comparison, gate: Gate) -> int | None:
    """Return how many more rows would prove the gain that is worth it, or that is seen when larger.

    Nothing when these rows were enough: their number would have proven ``min_gain`` with the asked power, or
    the interval of the difference excludes it.
    """
    gain = max(found.accuracy.value, gate.min_gain, LEAST_GAIN)
    share = (found.discordant + 1) / (found.rows + 2)  # never 0: a few equal rows don't prove equality
    needed = rows_needed(discordant_share=share, gain=gain, alpha=gate.alpha, power=gate.power)
    reach = paired_difference(
        found.only_a_right, found.only_b_right, found.rows, confidence=1 - 2 * gate.alpha
    )
    if needed <= found.rows or reach.high < gain:
        return None
    return needed - found.rows


def _broken(rails: tuple[GuardRail, ...]) -> tuple[str, ...]:
    """Say which guard rails did not hold; the verdict holds them all, so that a few sentences are enough."""
    sentences = [
        f"guard rail {rail.name.partition(':')[0]}: {rail.sentence}" for rail in rails if not rail.held
    ]
    further = len(sentences) - MOST_SENTENCES
    return (
        *sentences[:MOST_SENTENCES],
        *([f"{further} more guard rails did not hold"] if further > 0 else []),
    )


def _told(found: Comparison) -> str:
    """Say what the paired test saw."""
    p = found.p_b_better if found.p_b_better < found.p_a_better else found.p_a_better_exact
    return (
        f"on {found.rows:,} rows {found.a} alone is right {found.only_a_right:,} times and {found.b} alone"
        f" {found.only_b_right:,} times, accuracy {100 * found.accuracy.value:+.2f} points"
        f" (one-sided p {'below 0.0001' if p < LEAST_P else f'= {p:.2g}'})"
    )


def _points(found: Interval) -> str:
    """Write a difference and its interval in points of a hundred."""
    value, low, high = (100 * figure for figure in (found.value, found.low, found.high))
    return f"{value:+.2f} points (interval {low:+.2f} to {high:+.2f})"


def _summary(finding: _Finding, challenger: str, incumbent: Predictions | None) -> str:
    """Write the verdict as one sentence."""
    if finding.decision == "promote":
        place = "as the first champion" if incumbent is None else f"over the champion {incumbent.name}"
        return f"Promote {challenger} {place}: {finding.reasons[0]}."
    if finding.decision == "keep":
        kept = "Promote nothing" if incumbent is None else f"Keep the champion {incumbent.name}"
        return f"{kept}: {finding.reasons[0]}."
    more = _rounded(finding.rows_needed or 0)
    return f"Cannot tell yet, about {more} more labelled rows needed: {finding.reasons[0]}."


def _rounded(count: int) -> str:
    """Write a number of rows with two digits that count, rounded up."""
    step = 10 ** max(0, len(str(count)) - 2)
    return f"{-(-count // step) * step:,}"
