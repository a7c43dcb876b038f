"""Whether a language model replaces the champion: the gate's rules on a figure of generated answers."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from tunewright.data.dataset import Facts
from tunewright.evaluation.language.compare import Difference, compare
from tunewright.evaluation.language.wording import against
from tunewright.registry.gate import Decision  # noqa: TC001 -- pydantic reads the annotations

if TYPE_CHECKING:
    from tunewright.config.schema import EvaluationConfig
    from tunewright.evaluation.language.figures import MetricName, Scored
    from tunewright.evaluation.language.report import Forgetting

MAX_MORE_UNFINISHED = 0.05
"""Share of answers without a stop token, beyond the champion's, that is taken for worse."""


class LanguageVerdict(Facts):
    """What the gate decided, why, and the figures that it looked at."""

    decision: Decision
    summary: str
    """One sentence for a person."""
    reasons: tuple[str, ...]
    """One sentence each; the first is what decided."""
    notes: tuple[str, ...] = ()
    challenger: str
    incumbent: str | None
    metric: str
    rows: int
    rows_needed: int | None = None
    """With ``cannot_tell``: about so many more test rows would tell."""
    against_incumbent: Difference | None = None
    against_base: Difference | None = None
    thresholds: dict[str, float]
    seed: int


def decide(
    challenger: Scored,
    incumbent: Scored | None,
    base: Scored,
    *,
    metric: MetricName,
    config: EvaluationConfig,
    forgetting: Forgetting | None = None,
    seed: int,
) -> LanguageVerdict:
    """Decide whether a language model takes the champion's place.

    A first champion must beat the untouched base, a challenger the champion, each by the paired test at
    ``gate.alpha`` on the same rows. Broken guard rails (size, answers that don't end, text forgotten) forbid it.

    Args:
        challenger: The candidate's scored answers.
        incumbent: The champion's to the same rows; nothing when there is none yet.
        base: The untouched base's.
        metric: What counts.
        config: Intervals and the gate's settings.
        forgetting: Perplexity on general text before and after.
        seed: Makes the resampling repeatable.

    Raises:
        InputError: When the models share no row.
    """
    gate = config.gate
    rival = incumbent or base
    comparison = compare(challenger, rival, config=config, seed=seed, metrics=(metric,))
    found = comparison.of(metric)
    against_base = (
        compare(challenger, base, config=config, seed=seed, metrics=(metric,)).of(metric)
        if incumbent
        else found
    )
    broken = _broken(challenger, incumbent, config, forgetting)
    decision, reasons, needed = _judge(challenger, rival, found, broken, metric, config)
    name = rival.answers.name
    words = {
        "promote": f"{challenger.answers.name} replaces {name}"
        if incumbent
        else "becomes the first champion",
        "keep": f"{name} stays" if incumbent else "no champion yet",
        "cannot_tell": f"can't tell yet, {needed:,} more test rows needed" if needed else "can't tell yet",
    }
    return LanguageVerdict(
        decision=decision,
        summary=f"{words[decision]}: {reasons[0]}",
        reasons=reasons,
        notes=comparison.notes,
        challenger=challenger.answers.name,
        incumbent=incumbent.answers.name if incumbent else None,
        metric=metric,
        rows=found.rows if found else 0,
        rows_needed=needed,
        against_incumbent=found if incumbent else None,
        against_base=against_base,
        thresholds=gate.model_dump(),
        seed=seed,
    )


def _judge(
    challenger: Scored,
    rival: Scored,
    found: Difference | None,
    broken: tuple[str, ...],
    metric: MetricName,
    config: EvaluationConfig,
) -> tuple[Decision, tuple[str, ...], int | None]:
    """Apply the rules in their order."""
    gate = config.gate
    if found is None:
        return "cannot_tell", (f"no row has a figure '{metric}'",), None
    sentence = against(challenger.answers.name, rival.answers.name, found, confidence=config.confidence)
    if broken:
        return "keep", (*broken, sentence), None
    if found.rows < gate.min_rows:
        few = f"{found.rows} test rows are too few, evaluation.gate.min_rows asks for {gate.min_rows}"
        return "cannot_tell", (few, sentence), gate.min_rows - found.rows
    if found.p_a_better < gate.alpha:
        return "promote", (sentence,), None
    if found.standing == "worse":
        return "keep", (sentence,), None
    return "cannot_tell", (sentence,), _rows_needed(challenger, rival, metric, found.rows, config)


def _rows_needed(
    challenger: Scored, rival: Scored, metric: MetricName, rows: int, config: EvaluationConfig
) -> int | None:
    """Return about how many more rows would show a gain of ``min_gain``, from the spread of the rows' differences."""
    import numpy as np

    left, right = challenger.rows(metric), rival.rows(metric)
    if len(left) != len(right) or config.gate.min_gain <= 0:
        return None
    spread = float(np.nanstd(left - right))
    normal = NormalDist()
    reach = normal.inv_cdf(1 - config.gate.alpha) + normal.inv_cdf(config.gate.power)
    return max(1, math.ceil((reach * spread / config.gate.min_gain) ** 2) - rows)


def _broken(
    challenger: Scored, incumbent: Scored | None, config: EvaluationConfig, forgetting: Forgetting | None
) -> tuple[str, ...]:
    """Return a sentence for each guard rail that is broken."""
    found = []
    if forgetting is not None and forgetting.too_much:
        found.append(
            f"perplexity on general text rose {forgetting.ratio:.2f} times, allowed is {forgetting.limit:g}"
        )
    if incumbent is not None:
        new, old = challenger.answers, incumbent.answers
        ratio = (new.size_bytes or 0) / (old.size_bytes or 1) if new.size_bytes and old.size_bytes else 1.0
        if ratio > config.gate.max_size_ratio:
            found.append(f"it is {ratio:.1f} times as large, allowed is {config.gate.max_size_ratio:g}")
        rise = _unfinished(challenger) - _unfinished(incumbent)
        if rise > MAX_MORE_UNFINISHED:
            found.append(f"{rise:.0%} more of its answers don't come to an end")
    return tuple(found)


def _unfinished(model: Scored) -> float:
    answered = [one for one in model.answers.answers if one.output is not None]
    return sum(not one.finished for one in answered) / len(answered) if answered else 0.0
