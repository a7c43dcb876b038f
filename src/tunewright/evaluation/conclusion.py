"""What the figures mean, in plain words; first of all, whether a language model is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tunewright.data.dataset import Facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.config.schema import EvaluationConfig
    from tunewright.evaluation.comparison import Comparison
    from tunewright.evaluation.intervals import Interval
    from tunewright.evaluation.metrics import Metrics
    from tunewright.evaluation.predictions import Predictions

Standing = Literal["better", "as_good", "worse"]
TITLES = {"accuracy": "accuracy", "f1_macro": "macro F1", "balanced_accuracy": "balanced accuracy"}
WORTH_SAYING = 1.5
"""Ratios of speed and size below this are not worth a clause."""


class Conclusion(Facts):
    """The answer to "is a language model needed?"."""

    standing: Standing | None
    """The fine-tuned model beside the best simple baseline; nothing without a baseline."""
    baseline: str | None
    headline: str
    """One sentence."""
    detail: str
    """What follows from it, one or two sentences."""


def conclude(
    subject: Predictions,
    metrics: Metrics,
    baseline: tuple[Predictions, Metrics, Comparison] | None,
    config: EvaluationConfig,
) -> Conclusion:
    """Say how the fine-tuned model stands beside the best simple baseline.

    Args:
        subject: The fine-tuned model's answers.
        metrics: Its figures.
        baseline: The best simple baseline's answers, figures, and the comparison of the subject with it.
        config: Primary metric and level.
    """
    if baseline is None:
        return Conclusion(
            standing=None,
            baseline=None,
            headline=f"{subject.name} is right on {_percent(metrics.accuracy)} of {metrics.rows:,} test rows; no simple"
            " baseline stands beside it.",
            detail="Add majority or tfidf to evaluation.baselines: without them nobody knows whether a language "
            "model is needed.",
        )
    other, other_metrics, comparison = baseline
    standing = stands(comparison, config)
    shares = f"{_percent(metrics.accuracy)} against {_percent(other_metrics.accuracy)}"
    rows = f"of {metrics.rows:,} test rows right"
    headlines = {
        "better": f"{subject.name} beats the simple baseline {other.name}: {shares} {rows},"
        " more than chance explains.",
        "as_good": f"The simple baseline {other.name} is as good as {subject.name}, as far as these rows can show:"
        f" {_percent(other_metrics.accuracy)} against {_percent(metrics.accuracy)} {rows}.",
        "worse": f"The simple baseline {other.name} is better than {subject.name}:"
        f" {_percent(other_metrics.accuracy)} against {_percent(metrics.accuracy)} {rows}.",
    }
    return Conclusion(
        standing=standing,
        baseline=other.name,
        headline=headlines[standing],
        detail=_detail(standing, subject, other, comparison, config),
    )


def stands(comparison: Comparison, config: EvaluationConfig) -> Standing:
    """Tell how model a stands beside model b.

    It is better when the paired test or the interval of the primary metric says so and neither says the
    opposite; worse in the same manner; else as good, as far as these rows can show.
    """
    test = comparison.p_two_sided <= 1 - config.confidence
    primary = _primary(comparison, config)
    better = (test and comparison.accuracy.value > 0) or primary.low > 0
    worse = (test and comparison.accuracy.value < 0) or primary.high < 0
    if better == worse:
        return "as_good"
    return "better" if better else "worse"


def best(names: Sequence[tuple[Predictions, Metrics]], config: EvaluationConfig) -> int:
    """Return the position of the model with the highest primary metric, the first of equals."""
    figures = [getattr(metrics, config.primary_metric) for _, metrics in names]
    return figures.index(max(figures))


def _detail(
    standing: Standing,
    subject: Predictions,
    other: Predictions,
    comparison: Comparison,
    config: EvaluationConfig,
) -> str:
    """Say what follows."""
    primary, title = _primary(comparison, config), TITLES[config.primary_metric]
    seen = f"{title} differs by {_signed(primary)}; {subject.name} alone is right on {comparison.only_a_right:,} rows,"
    seen += f" {other.name} alone on {comparison.only_b_right:,}."
    cost = _cost(subject, other)
    if standing == "better":
        return f"It helps here: {seen}" + (f" Its price: {cost}." if cost else "")
    advice = "Use the simple one, or collect more rows and look again."
    return f"Not as far as this shows: {seen} {advice}" + (f" It saves: {cost}." if cost else "")


def _cost(subject: Predictions, other: Predictions) -> str:
    """Say how many times slower and larger the subject is."""
    parts = []
    if subject.latency and other.latency and other.latency.p50_ms:
        slower = subject.latency.p50_ms / other.latency.p50_ms
        if slower >= WORTH_SAYING:
            parts.append(f"{subject.latency.p50_ms:,.3g} ms an answer against {other.latency.p50_ms:,.3g} ms")
    if subject.size_bytes and other.size_bytes and subject.size_bytes >= WORTH_SAYING * other.size_bytes:
        parts.append(f"{subject.size_bytes / 1e6:,.3g} MB against {other.size_bytes / 1e6:,.3g} MB")
    return ", ".join(parts)


def _primary(comparison: Comparison, config: EvaluationConfig) -> Interval:
    """Return the difference in the primary metric."""
    found: Interval = getattr(comparison, config.primary_metric)
    return found


def _percent(share: float) -> str:
    """Write a share in percent, with a second decimal near 100."""
    return f"{100 * share:.2f} %" if share > 0.98 else f"{100 * share:.1f} %"  # noqa: PLR2004


def _signed(interval: Interval) -> str:
    """Write a difference and its interval in points of a hundred."""
    return f"{100 * interval.value:+.1f} points (interval {100 * interval.low:+.1f} to {100 * interval.high:+.1f})"
