"""Figures of language models as a person writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.evaluation.language.figures import METRICS, MetricName

if TYPE_CHECKING:
    from tunewright.evaluation.intervals import Interval
    from tunewright.evaluation.language.compare import Difference, Standing
    from tunewright.evaluation.language.judge import Judgement

LARGE = 1_000
MINUS = "−"
PHRASES: dict[str, str] = {
    "better": "is better than",
    "worse": "is worse than",
    "as_good": "can't be told from",
}


def written(value: float | None, metric: MetricName) -> str:
    """Write a figure: shares in percent, scores with one digit, perplexities with three."""
    if value is None:
        return "–"
    unit = METRICS[metric].unit
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit == "score":
        return f"{value:.1f}"
    return f"{value:,.2f}" if value < LARGE else f"{value:,.0f}" if value < LARGE**3 else f"{value:.1e}"


def change(value: float, metric: MetricName) -> str:
    """Write a difference with its sign, of shares in points of a hundred; what rounds to nothing has no sign."""
    unit = METRICS[metric].unit
    if unit == "perplexity":
        shown = f"{value:+,.2f}" if abs(value) < LARGE**3 else f"{value:+.1e}"
    else:
        shown = f"{100 * value if unit == 'share' else value:+.1f}"
    return shown.replace("-", MINUS) if shown.strip("+-0.") else shown[1:]


def against(subject: str, rival: str, found: Difference, *, confidence: float) -> str:
    """Say how one model stands beside another by one figure."""
    unit = " points" if METRICS[found.metric].unit == "share" else ""
    return (
        f"{subject} {PHRASES[found.standing]} {rival}: {METRICS[found.metric].title}"
        f" {written(found.a, found.metric)} against {written(found.b, found.metric)}"
        f" ({change(found.difference.value, found.metric)}{unit}, {100 * confidence:g} % interval"
        f" {change(found.difference.low, found.metric)} to {change(found.difference.high, found.metric)})"
        f" on {found.rows:,} rows."
    )


def alone(subject: str, interval: Interval, metric: MetricName, rows: int, *, confidence: float) -> str:
    """Say how a model fares that no other stands beside."""
    return (
        f"{subject} has {METRICS[metric].title} {written(interval.value, metric)} ({100 * confidence:g} % interval"
        f" {written(interval.low, metric)} to {written(interval.high, metric)}) on {rows:,} rows;"
        " no other model stands beside it."
    )


def judged(found: Judgement, rate: Interval, standing: Standing, *, confidence: float) -> str:
    """Say what a judge prefers."""
    return (
        f"{found.subject} {PHRASES[standing]} {found.rival}: {found.model} prefers it in {100 * rate.value:.1f} % of"
        f" {found.rows:,} pairs, ties by half ({100 * confidence:g} % interval {100 * rate.low:.1f} to"
        f" {100 * rate.high:.1f} %)."
    )
