"""Two models on the same rows: which is better, how sure that is, and how many rows would make it sure.

Only rows on which exactly one of the two is right tell them apart. The test is McNemar's with the mid-p value
(Fagerland, Lydersen and Laake 2013, doi:10.1186/1471-2288-13-91), the interval of the difference in accuracy is
Bonett and Price's, those of the other figures come from a paired bootstrap, and the number of rows is Connor's
(1987, Biometrics 43:207) for the exact test.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from tunewright.data.dataset import Facts
from tunewright.evaluation.bootstrap import interval, resample
from tunewright.evaluation.intervals import Interval, normal_quantile, paired_difference
from tunewright.evaluation.metrics import score
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from tunewright.config.schema import EvaluationConfig
    from tunewright.evaluation.predictions import Predictions


class Comparison(Facts):
    """Model ``a`` against model ``b``, paired row by row; differences are a minus b."""

    a: str
    b: str
    rows: int
    only_a_right: int
    only_b_right: int
    both_right: int
    both_wrong: int
    same_answers: int
    """Rows on which both give the same label."""
    accuracy: Interval
    """Difference in accuracy."""
    balanced_accuracy: Interval
    """Difference in the mean recall of the labels."""
    f1_macro: Interval
    """Difference in macro F1."""
    confidence: float
    """Level of the intervals."""
    p_two_sided: float
    """Mid-p value for "they are equally often right"."""
    p_a_better: float
    """One-sided mid-p value: small when a is better."""
    p_b_better: float
    """One-sided mid-p value: small when b is better."""
    p_a_better_exact: float
    """One-sided exact p value; the gate asks it, because it is never wrong more often than it says."""
    notes: tuple[str, ...] = ()
    """Rows left out, and why."""

    @property
    def discordant(self) -> int:
        """Rows on which exactly one is right."""
        return self.only_a_right + self.only_b_right


class Disagreement(Facts):
    """A row to which two models give different labels."""

    row: int
    text: str
    truth: str
    a: str
    a_confidence: float
    b: str
    b_confidence: float
    right: Literal["a", "b", "neither"]


def compare(
    a: Predictions, b: Predictions, label_names: Sequence[str], config: EvaluationConfig, *, seed: int
) -> Comparison:
    """Compare two models on the rows that both have answered.

    Raises:
        InputError: When they share no row or know different label sets.
    """
    a, b, notes = align(a, b)
    right_a, right_b = a.correct, b.correct
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    resampled_a, resampled_b = resample(
        a.labels, (a.predicted, b.predicted), samples=config.bootstrap_samples, seed=seed
    )
    metrics_a, metrics_b = (
        score(one.labels, one.log_probabilities, label_names, bins=config.calibration_bins) for one in (a, b)
    )
    return Comparison(
        a=a.name,
        b=b.name,
        rows=len(a),
        only_a_right=only_a,
        only_b_right=only_b,
        both_right=int((right_a & right_b).sum()),
        both_wrong=int((~right_a & ~right_b).sum()),
        same_answers=int((a.predicted == b.predicted).sum()),
        accuracy=paired_difference(only_a, only_b, len(a), confidence=config.confidence),
        balanced_accuracy=interval(
            metrics_a.balanced_accuracy - metrics_b.balanced_accuracy,
            resampled_a.balanced_accuracy - resampled_b.balanced_accuracy,
            confidence=config.confidence,
        ),
        f1_macro=interval(
            metrics_a.f1_macro - metrics_b.f1_macro,
            resampled_a.f1_macro - resampled_b.f1_macro,
            confidence=config.confidence,
        ),
        confidence=config.confidence,
        p_two_sided=min(1.0, 2 * min(mid_p(only_a, only_b), mid_p(only_b, only_a))),
        p_a_better=mid_p(only_a, only_b),
        p_b_better=mid_p(only_b, only_a),
        p_a_better_exact=exact_p(only_a, only_b),
        notes=notes,
    )


def align(a: Predictions, b: Predictions) -> tuple[Predictions, Predictions, tuple[str, ...]]:
    """Bring two models' answers to the same rows, in order of row number; say what was left out.

    Raises:
        InputError: When they share no row, repeat one, or know different label sets.
    """
    import numpy as np

    place = f"'{a.name}' against '{b.name}'"
    widths = a.log_probabilities.shape[1], b.log_probabilities.shape[1]
    if widths[0] != widths[1]:
        raise InputError(
            f"one knows {widths[0]} labels, the other {widths[1]}",
            place=place,
            mend="score both with the same label names",
        )
    for one in (a, b):
        if len(np.unique(one.rows)) != len(one):
            raise InputError(
                "repeats a row", place=f"predictions of '{one.name}'", mend="score each row once"
            )
    _, at_a, at_b = np.intersect1d(a.rows, b.rows, assume_unique=True, return_indices=True)
    agree = a.labels[at_a] == b.labels[at_b]
    if not agree.any():
        raise InputError("have no row in common", place=place, mend="score both on the same test rows")
    unshared = len(a) + len(b) - 2 * len(at_a)
    notes = []
    if unshared:
        notes.append(f"{unshared} rows that only one of the two has answered are left out")
    if not agree.all():
        notes.append(f"{int((~agree).sum())} rows whose label changed between the two are left out")
    return a.take(at_a[agree]), b.take(at_b[agree]), tuple(notes)


def mid_p(wins: int, losses: int) -> float:
    """Return the one-sided mid-p value of McNemar's test: P(more wins) + P(as many wins) / 2.

    Wins out of ``wins + losses`` are binomial with probability 1/2 when both models are equally often right.
    """
    from scipy.stats import binom

    total = wins + losses
    return float(binom.sf(wins, total, 0.5) + binom.pmf(wins, total, 0.5) / 2)


def exact_p(wins: int, losses: int) -> float:
    """Return the one-sided exact p value of McNemar's test: P(as many wins or more)."""
    from scipy.stats import binom

    return float(binom.sf(wins - 1, wins + losses, 0.5))


def rows_needed(*, discordant_share: float, gain: float, alpha: float, power: float) -> int:
    """Return the rows that a one-sided exact McNemar test needs.

    Connor's formula is for the test without continuity correction; one over the gain is what the exact test
    needs beside, as computing its power shows.

    Args:
        discordant_share: Share of rows on which exactly one model is right; at least ``gain``.
        gain: Difference in accuracy to be proven, above 0.
        alpha: One-sided chance of a wrong "better".
        power: Chance of proving the gain when it is there.
    """
    share = max(discordant_share, gain)
    reach = normal_quantile(1 - alpha) * math.sqrt(share)
    reach += normal_quantile(power) * math.sqrt(share - gain**2)
    return math.ceil((reach / gain) ** 2 + 1 / gain)


def disagreements(
    a: Predictions, b: Predictions, texts: Mapping[int, str], label_names: Sequence[str]
) -> list[Disagreement]:
    """List the rows to which two models give different labels, in order of row number.

    Args:
        a: One model's answers.
        b: Another's.
        texts: Text by row number; rows that aren't in it are skipped.
        label_names: Names by class id.
    """
    a, b, _ = align(a, b)
    answer_a, answer_b, sure_a, sure_b = a.predicted, b.predicted, a.confidence, b.confidence
    return [
        Disagreement(
            row=int(a.rows[at]),
            text=texts[int(a.rows[at])],
            truth=label_names[a.labels[at]],
            a=label_names[answer_a[at]],
            a_confidence=float(sure_a[at]),
            b=label_names[answer_b[at]],
            b_confidence=float(sure_b[at]),
            right=_who(answer_a[at] == a.labels[at], answer_b[at] == a.labels[at]),
        )
        for at in range(len(a))
        if answer_a[at] != answer_b[at] and int(a.rows[at]) in texts
    ]


def _who(a_right: np.bool_, b_right: np.bool_) -> Literal["a", "b", "neither"]:
    """Name the model that is right; with different answers at most one is."""
    if a_right:
        return "a"
    return "b" if b_right else "neither"
