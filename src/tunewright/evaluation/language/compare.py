"""Two language models on the same rows: every figure's difference, its interval, and whether chance explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tunewright.data.dataset import Facts
from tunewright.evaluation.comparison import exact_p, mid_p
from tunewright.evaluation.intervals import Interval, paired_difference, share
from tunewright.evaluation.language.figures import METRIC_NAMES, METRICS, MetricName, Scored
from tunewright.evaluation.language.resampling import (
    chance_differences,
    p_values,
    percentiles,
    resampled_figures,
)
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from tunewright.config.schema import EvaluationConfig

Standing = Literal["better", "as_good", "worse"]


class Discordance(Facts):
    """Rows on which exactly one of two models is right, or wrong, by a figure of yes and no."""

    only_a: int
    only_b: int


class Difference(Facts):
    """One figure of two models; the difference is a minus b."""

    metric: MetricName
    rows: int
    """Rows that it applies to."""
    a: float
    b: float
    difference: Interval
    p_two_sided: float
    """For "both are equally good": McNemar's test (mid-p) for yes and no, else approximate randomization."""
    p_a_better: float
    """One-sided: small when a is better. McNemar's exact test, which is never wrong more often than it says, or
    approximate randomization."""
    discordance: Discordance | None
    """Of figures of yes and no."""
    standing: Standing
    """Of a beside b, at the level of the intervals."""


class LanguageComparison(Facts):
    """Model ``a`` against model ``b``, paired row by row."""

    a: str
    b: str
    rows: int
    same_outputs: int
    """Rows to which both wrote the same, white space aside."""
    confidence: float
    differences: tuple[Difference, ...]
    """The figures that apply, in the order of ``METRIC_NAMES``."""
    notes: tuple[str, ...] = ()
    """Rows left out, and why."""

    def of(self, metric: MetricName) -> Difference | None:
        """Return the difference in one figure; None where it applies to no row."""
        return next((one for one in self.differences if one.metric == metric), None)


def compare(
    a: Scored,
    b: Scored,
    *,
    config: EvaluationConfig,
    seed: int,
    metrics: Sequence[MetricName] = METRIC_NAMES,
) -> LanguageComparison:
    """Compare two models on the rows that both have answered.

    Args:
        a: One model, as ``score_rows`` gives it.
        b: Another.
        config: Level of the intervals, and the number of resamples.
        seed: Makes them repeatable.
        metrics: Which figures.

    Raises:
        InputError: When they share no row.
    """
    a, b, notes = align(a, b)
    if "perplexity" in metrics and not _same_tokens(a, b):
        metrics = [name for name in metrics if name != "perplexity"]
        notes = (*notes, "the models cut texts into different tokens, so that perplexities can't be compared")
    settings = {"samples": config.bootstrap_samples, "seed": seed}
    drawn_a, drawn_b = resampled_figures((a, b), metrics=metrics, **settings)
    by_chance = chance_differences(a, b, metrics=metrics, **settings)
    differences = []
    for name in metrics:
        applies = a.applies(name) & b.applies(name)
        value_a, value_b = a.figure(name), b.figure(name)
        if value_a is None or value_b is None or not applies.any():
            continue
        if METRICS[name].binary:
            found = _of_yes_and_no(name, a, b, applies, confidence=config.confidence)
        else:
            sign = METRICS[name].sign
            gap = value_a - value_b
            two_sided, better = p_values(sign * gap, sign * by_chance[name])
            interval = percentiles(gap, drawn_a[name] - drawn_b[name], confidence=config.confidence)
            found = Difference(
                metric=name, rows=int(applies.sum()), a=value_a, b=value_b, difference=interval,
                p_two_sided=two_sided, p_a_better=better, discordance=None,
                standing=_standing(sign * gap, two_sided, config.confidence),
            )  # fmt: skip
        differences.append(found)
    return LanguageComparison(
        a=a.answers.name,
        b=b.answers.name,
        rows=len(a),
        same_outputs=_same_outputs(a, b),
        confidence=config.confidence,
        differences=tuple(differences),
        notes=notes,
    )


def intervals(
    model: Scored, *, config: EvaluationConfig, seed: int, metrics: Sequence[MetricName] = METRIC_NAMES
) -> dict[MetricName, Interval]:
    """Return one model's figures with their intervals: Wilson's for yes and no, else the bootstrap's."""
    (drawn,) = resampled_figures((model,), samples=config.bootstrap_samples, seed=seed, metrics=metrics)
    found: dict[MetricName, Interval] = {}
    for name in metrics:
        value = model.figure(name)
        if value is None:
            continue
        if METRICS[name].binary:
            right, rows = model.sums[name].sum(axis=0)
            found[name] = share(float(right), int(rows), confidence=config.confidence)
        else:
            found[name] = percentiles(value, drawn[name], confidence=config.confidence)
    return found


def align(a: Scored, b: Scored) -> tuple[Scored, Scored, tuple[str, ...]]:
    """Bring two models to the same rows, in order of file and number; say what was left out.

    Raises:
        InputError: When they share no row, or were scored by other rules.
    """
    place = f"'{a.answers.name}' against '{b.answers.name}'"
    if a.rules != b.rules:
        raise InputError("are scored by different rules", place=place, mend="score both by the same rules")
    at_a, at_b = ({one.key: at for at, one in enumerate(each.answers.answers)} for each in (a, b))
    shared = sorted(at_a.keys() & at_b.keys())
    same = [key for key in shared if _question(a, at_a[key]) == _question(b, at_b[key])]
    if not same:
        raise InputError("have no row in common", place=place, mend="let both answer the same test rows")
    notes = []
    if unshared := len(a) + len(b) - 2 * len(shared):
        notes.append(f"{unshared} rows that only one of the two has answered are left out")
    if changed := len(shared) - len(same):
        notes.append(f"{changed} rows whose prompt or reference changed between the two are left out")
    return a.take([at_a[key] for key in same]), b.take([at_b[key] for key in same]), tuple(notes)


def _question(model: Scored, at: int) -> tuple[str, str, bool]:
    one = model.answers.answers[at]
    return one.prompt, one.reference, one.output is None


def _of_yes_and_no(
    name: MetricName, a: Scored, b: Scored, applies: npt.NDArray[np.bool_], *, confidence: float
) -> Difference:
    """Compare two models by a figure of yes and no; "only a" counts rows where a alone has a yes."""
    yes_a, yes_b = (each.sums[name][applies, 0] > 0 for each in (a, b))
    only_a, only_b = int((yes_a & ~yes_b).sum()), int((yes_b & ~yes_a).sum())
    wins, losses = (only_a, only_b) if METRICS[name].higher_is_better else (only_b, only_a)
    rows = int(applies.sum())
    two_sided = min(1.0, 2 * min(mid_p(wins, losses), mid_p(losses, wins)))
    return Difference(
        metric=name,
        rows=rows,
        a=float(yes_a.mean()),
        b=float(yes_b.mean()),
        difference=paired_difference(only_a, only_b, rows, confidence=confidence),
        p_two_sided=two_sided,
        p_a_better=exact_p(wins, losses),
        discordance=Discordance(only_a=only_a, only_b=only_b),
        standing=_standing(wins - losses, two_sided, confidence),
    )


def _standing(gain: float, p_two_sided: float, confidence: float) -> Standing:
    """Name how a stands beside b; ``gain`` is above 0 where a is better."""
    if p_two_sided > 1 - confidence or gain == 0:
        return "as_good"
    return "better" if gain > 0 else "worse"


def _same_tokens(a: Scored, b: Scored) -> bool:
    """Tell whether both count the same tokens in every reference."""
    pairs = zip(a.answers.answers, b.answers.answers, strict=True)
    return all(one.reference_tokens == two.reference_tokens for one, two in pairs)


def _same_outputs(a: Scored, b: Scored) -> int:
    return sum(
        one.output is not None and two.output is not None and one.output.split() == two.output.split()
        for one, two in zip(a.answers.answers, b.answers.answers, strict=True)
    )
