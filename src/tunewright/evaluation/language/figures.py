"""The figures that answers are measured by, and how each is made from the rows.

Every figure is a function of sums over rows: a mean is a sum over a count, perplexity the exponential of a ratio of
sums, BLEU a function of ten counts. So a resample of rows costs one product of matrices for all figures together,
and a corpus figure is resampled as what it is, not as a mean of row scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from tunewright.evaluation.language import texts
from tunewright.evaluation.language.rules import AnswerRules

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from tunewright.evaluation.language.answers import Answer, Answers

    Numbers = npt.NDArray[np.float64]

MetricName = Literal[
    "exact_match", "token_f1", "chrf", "bleu", "rouge_l", "rouge_1", "rouge_2", "valid", "preferred",
    "perplexity", "repetition", "unfinished", "empty", "refusal",
]  # fmt: skip
METRIC_NAMES: tuple[MetricName, ...] = get_args(MetricName)
MOST_LOSS = 700.0
"""Bound on the mean loss, so that its exponential is a number."""
Unit = Literal["share", "score", "perplexity"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure."""

    title: str
    """Its name in a sentence."""
    higher_is_better: bool
    unit: Unit
    """``share``: 0 to 1; ``score``: 0 to 100; ``perplexity``: from 1 up."""
    binary: bool = False
    """Whether a row is right or wrong and nothing between, so that McNemar's test applies."""

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.higher_is_better else -1


METRICS: dict[MetricName, Metric] = {
    "exact_match": Metric("exact match", higher_is_better=True, unit="share", binary=True),
    "token_f1": Metric("token F1", higher_is_better=True, unit="share"),
    "chrf": Metric("chrF", higher_is_better=True, unit="score"),
    "bleu": Metric("BLEU", higher_is_better=True, unit="score"),
    "rouge_l": Metric("ROUGE-L", higher_is_better=True, unit="share"),
    "rouge_1": Metric("ROUGE-1", higher_is_better=True, unit="share"),
    "rouge_2": Metric("ROUGE-2", higher_is_better=True, unit="share"),
    "valid": Metric("valid answers", higher_is_better=True, unit="share", binary=True),
    "preferred": Metric("chosen answers preferred", higher_is_better=True, unit="share", binary=True),
    "perplexity": Metric("perplexity", higher_is_better=False, unit="perplexity"),
    "repetition": Metric("repetition", higher_is_better=False, unit="share"),
    "unfinished": Metric("unfinished answers", higher_is_better=False, unit="share", binary=True),
    "empty": Metric("empty answers", higher_is_better=False, unit="share", binary=True),
    "refusal": Metric("refusals", higher_is_better=False, unit="share", binary=True),
}


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Answers with what every figure is made from, row by row."""

    answers: Answers
    rules: AnswerRules
    sums: dict[MetricName, Numbers]
    """What is added up over rows, float64 (rows, parts); lines of zeros where a figure doesn't apply."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.answers)

    def applies(self, metric: MetricName) -> npt.NDArray[np.bool_]:
        """Tell for each row whether it has a figure, bool (rows,)."""
        counted: npt.NDArray[np.bool_] = self.sums[metric][:, _COUNTED.get(metric, 1)] > 0
        return counted

    def figure(self, metric: MetricName) -> float | None:
        """Return a corpus figure; None where it applies to no row."""
        import numpy as np

        (value,) = from_sums(metric, self.sums[metric].sum(axis=0, keepdims=True))
        return None if np.isnan(value) else float(value)

    def rows(self, metric: MetricName) -> Numbers:
        """Return the figure of each row alone, float64 (rows,); NaN where it doesn't apply."""
        return from_sums(metric, self.sums[metric])

    def take(self, positions: Sequence[int] | npt.NDArray[np.int64]) -> Scored:
        """Return some of the rows, in the order of ``positions``."""
        import numpy as np

        at = np.asarray(positions, dtype=np.int64)
        sums = {name: parts[at] for name, parts in self.sums.items()}
        return Scored(self.answers.take(at.tolist()), self.rules, sums)


def score_rows(answers: Answers, rules: AnswerRules | None = None) -> Scored:
    """Measure every row by every figure.

    Raises:
        MissingExtraError: When the packages of ``tunewright[llm]`` are absent.
    """
    import numpy as np

    rules = rules or AnswerRules()
    lines = [_line(one, rules) for one in answers.answers]
    sums = {
        name: np.array([line[name] for line in lines], dtype=np.float64).reshape(len(lines), _WIDTHS[name])
        for name in METRIC_NAMES
    }
    return Scored(answers, rules, sums)


def row_scores(answers: Answers, metric: MetricName, rules: AnswerRules | None = None) -> Numbers:
    """Return the figure of each row alone, float64 (rows,); NaN where it doesn't apply.

    Perplexity is that of the row's own tokens; BLEU that of one sentence.
    """
    return score_rows(answers, rules).rows(metric)


def from_sums(metric: MetricName, sums: Numbers) -> Numbers:
    """Return figures of added-up lines, (n, parts) to float64 (n,); NaN where a figure applies to no row."""
    import numpy as np

    if metric == "bleu":
        scores = [texts.bleu_from(line[1:]) if line[0] else np.nan for line in sums]
        return np.array(scores, dtype=np.float64)
    ratio = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0)
    figures: Numbers = np.exp(np.minimum(ratio, MOST_LOSS)) if metric == "perplexity" else ratio
    return figures


_BLEU_WIDTH = 11
"""A count of answers, then what ``texts.bleu_counts`` gives."""
_COUNTED: dict[MetricName, int] = {"bleu": 0}
"""Which part of a line counts, where it isn't the second."""
_WIDTHS: dict[MetricName, int] = {name: _BLEU_WIDTH if name == "bleu" else 2 for name in METRIC_NAMES}


def _line(one: Answer, rules: AnswerRules) -> dict[MetricName, tuple[float, ...]]:
    """Return what one row adds to each figure."""
    line: dict[MetricName, tuple[float, ...]] = {name: (0.0,) * _WIDTHS[name] for name in METRIC_NAMES}
    line["perplexity"] = (one.reference_loss, float(one.reference_tokens))
    if one.output is None:
        return line
    said, right = one.output, one.reference
    rouge_1, rouge_2, rouge_l = texts.rouge(said, right)
    values: dict[MetricName, float] = {
        "exact_match": rules.same(said, right),
        "token_f1": texts.token_f1(said, right),
        "chrf": texts.chrf(said, right),
        "rouge_l": rouge_l,
        "rouge_1": rouge_1,
        "rouge_2": rouge_2,
        "repetition": texts.repetition(said),
        "unfinished": not one.finished,
        "empty": not said.strip(),
        "refusal": texts.refuses(said),
    }
    if rules.tells:
        values["valid"] = rules.valid(said)
    if one.preferred is not None:
        values["preferred"] = one.preferred
    for name, value in values.items():
        line[name] = (float(value), 1.0)
    line["bleu"] = (1.0, *texts.bleu_counts(said, right))
    return line
