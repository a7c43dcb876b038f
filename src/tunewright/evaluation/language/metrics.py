"""The figures of one language model on some rows, as data that goes into JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tunewright.data.dataset import Facts
from tunewright.evaluation.language.figures import METRIC_NAMES, MetricName, Scored, score_rows
from tunewright.evaluation.language.rules import NotJson, parse, same_value
from tunewright.evaluation.language.texts import ngrams
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.evaluation.language.answers import Answer, Answers
    from tunewright.evaluation.language.rules import AnswerRules

MAX_FIELDS = 20
"""Fields of JSON answers with a figure of their own, the most frequent first."""


class FieldAccuracy(Facts):
    """How often one field of a JSON answer is right."""

    name: str
    rows: int
    """Rows whose reference has it."""
    accuracy: float


class Lengths(Facts):
    """How long answers are; means over rows that were answered."""

    tokens: float
    """Written, the stop token included."""
    reference_tokens: float
    """That carry loss; in a conversation those of earlier answers too, where they do."""
    characters: float
    reference_characters: float


class LanguageMetrics(Facts):
    """Figures of one model; a figure that applies to no row is None.

    Shares lie between 0 and 1, BLEU and chrF between 0 and 100. ``figures.METRICS`` says which way is better.
    """

    rows: int
    answered: int
    """Rows that ask something; the others are plain text and count for the perplexity alone."""
    exact_match: float | None
    """Share of answers that equal the reference, by text or by JSON value."""
    token_f1: float | None
    chrf: float | None
    """Mean over rows."""
    bleu: float | None
    """Of all answers together."""
    rouge_l: float | None
    rouge_1: float | None
    rouge_2: float | None
    valid: float | None
    """Share of answers in the form that the recipe asks for; None where it asks for none."""
    preferred: float | None = None
    """Share of preferences whose chosen answer the model holds more likely than the rejected one, by
    ``Answer.preferred``; None where no row is one."""
    perplexity: float | None
    """Of the references, over all their tokens together."""
    repetition: float | None
    """Share of sequences of four words that stood in the same answer before; mean over rows."""
    unfinished: float | None
    """Share of answers that were cut off at the most tokens allowed."""
    empty: float | None
    refusal: float | None
    """Share of answers that begin with one of ``texts.REFUSALS``."""
    distinct_1: float | None
    """Distinct words over all words of all answers (Li et al. 2016, arXiv:1510.03055)."""
    distinct_2: float | None
    """The same of pairs of words."""
    lengths: Lengths | None
    fields: tuple[FieldAccuracy, ...] = ()
    """Of JSON answers, the most frequent fields first."""

    @property
    def summary(self) -> dict[str, float]:
        """The figures that are one number and apply, by name."""
        named = {name: getattr(self, name) for name in (*METRIC_NAMES, "distinct_1", "distinct_2")}
        return {name: value for name, value in named.items() if value is not None}

    def get(self, metric: MetricName) -> float | None:
        """Return a figure by name."""
        value: float | None = getattr(self, metric)
        return value


def measure(answers: Answers | Scored, rules: AnswerRules | None = None) -> LanguageMetrics:
    """Measure one model's answers.

    Args:
        answers: The answers, or what ``score_rows`` has made of them.
        rules: What a valid answer is; those that they were scored by, where they were.

    Raises:
        InputError: When there are no rows.
    """
    scored = answers if isinstance(answers, Scored) else score_rows(answers, rules)
    if not len(scored):
        raise InputError("there are no rows to measure", mend="raise data.test_share or add rows")
    answered = [one for one in scored.answers.answers if one.output is not None]
    said = [one.output.split() for one in answered if one.output is not None]
    return LanguageMetrics(
        rows=len(scored),
        answered=len(answered),
        **{name: scored.figure(name) for name in METRIC_NAMES},
        distinct_1=_distinct(said, 1),
        distinct_2=_distinct(said, 2),
        lengths=_lengths(answered) if answered else None,
        fields=_fields(answered) if scored.rules.by_value else (),
    )


def _distinct(said: Sequence[Sequence[str]], size: int) -> float | None:
    """Return distinct over all sequences of some words; None where there are none."""
    found = Counter(sequence for words in said for sequence in ngrams(words, size))
    return len(found) / found.total() if found else None


def _lengths(answered: Sequence[Answer]) -> Lengths:
    rows = len(answered)
    return Lengths(
        tokens=sum(one.tokens for one in answered) / rows,
        reference_tokens=sum(one.reference_tokens for one in answered) / rows,
        characters=sum(len(one.output or "") for one in answered) / rows,
        reference_characters=sum(len(one.reference) for one in answered) / rows,
    )


def _fields(answered: Sequence[Answer]) -> tuple[FieldAccuracy, ...]:
    """Count the top-level fields of references, and how often the answer has the same value there."""
    there: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for one in answered:
        reference, output = parse(one.reference), parse(one.output or "")
        if isinstance(reference, NotJson) or not isinstance(reference, dict):
            continue
        there.update(reference.keys())
        if isinstance(output, dict):
            right.update(
                name
                for name, value in reference.items()
                if name in output and same_value(output[name], value)
            )
    ranked = sorted(there.items(), key=lambda item: (-item[1], item[0]))[:MAX_FIELDS]
    return tuple(FieldAccuracy(name=name, rows=rows, accuracy=right[name] / rows) for name, rows in ranked)
