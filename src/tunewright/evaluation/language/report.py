"""Everything that one evaluation of language models found, as data: ``report.json`` holds it, ``page`` shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from tunewright.data.dataset import Facts
from tunewright.evaluation.graph import Graph  # noqa: TC001 - pydantic reads it at run time
from tunewright.evaluation.intervals import Interval  # noqa: TC001 - pydantic reads it at run time
from tunewright.evaluation.language import wording
from tunewright.evaluation.language.compare import (
    LanguageComparison,
    Standing,
    align,
    compare,
    intervals,
)
from tunewright.evaluation.language.examples import Examples, choose
from tunewright.evaluation.language.figures import METRICS, MetricName, Scored, score_rows
from tunewright.evaluation.language.harness import TaskFigure  # noqa: TC001 - pydantic reads it at run time
from tunewright.evaluation.language.judge import Judgement  # noqa: TC001 - pydantic reads it at run time
from tunewright.evaluation.language.metrics import LanguageMetrics, measure
from tunewright.evaluation.language.slices import LanguageSlice, slices
from tunewright.evaluation.predictions import Role  # noqa: TC001 - pydantic reads it at run time
from tunewright.evaluation.report import plain
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tunewright.config.language import GenerationMetric
    from tunewright.config.schema import EvaluationConfig
    from tunewright.evaluation.language.answers import Answers
    from tunewright.evaluation.language.rules import AnswerRules

VERSION = 1
"""Layout of ``report.json``."""
RIVALS: tuple[Role, ...] = ("base", "champion", "trivial", "tuned")
"""Whom the subject is held against, the first that is there."""
MANY_UNFINISHED = 0.1
EVEN = 0.5
"""Win rate of two equal models."""


class LanguageFigures(Facts):
    """One model of the table."""

    name: str
    role: Role
    metrics: LanguageMetrics
    intervals: dict[MetricName, Interval]
    seconds: float
    """Time that its answers took."""
    tokens_per_second: float | None
    size_bytes: int | None


class Forgetting(Facts):
    """Perplexity on general text, before and after training."""

    before: float
    after: float
    ratio: float
    limit: float | None
    """After over before, at most; None where nothing is asked."""
    too_much: bool


class LanguageReport(Facts):
    """What one evaluation found; frozen, and the same after a trip through JSON."""

    kind: Literal["language"] = "language"
    version: int = VERSION
    project: str
    headline: str
    standing: Standing | None
    """Of the subject beside the rival, by the primary metric; None without a rival."""
    subject: str
    """Name of the model that the details are about."""
    rival: str | None
    primary_metric: MetricName | Literal["win_rate"]
    confidence: float
    rows: int
    models: tuple[LanguageFigures, ...]
    """The subject first, then the rival, then the others."""
    comparisons: tuple[LanguageComparison, ...]
    """The subject against each other model."""
    slices: tuple[LanguageSlice, ...]
    slice_metric: MetricName
    """The figure of the slices: the primary metric, where rows have it."""
    forgetting: Forgetting | None
    judgement: Judgement | None
    harness: tuple[TaskFigure, ...]
    examples: Examples
    figures: dict[str, Any]
    """What training took, and the provenance."""
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()
    """What a reader must know before trusting a figure."""
    lineage: Graph | None = None


def build_report(
    models: Sequence[Answers],
    *,
    config: EvaluationConfig,
    seed: int,
    primary_metric: GenerationMetric | None = None,
    rules: AnswerRules | None = None,
    project: str = "tunewright",
    general_text: tuple[float, float] | None = None,
    judgement: Judgement | None = None,
    harness: Sequence[TaskFigure] = (),
    figures: Mapping[str, object] | None = None,
    lineage: Graph | None = None,
) -> LanguageReport:
    """Measure and compare language models on the same rows.

    Args:
        models: Their answers; the one with role ``tuned`` (else the first) is the subject, and the one with role
            ``base`` (else ``champion``, else the next) its rival.
        config: Level of the intervals, resamples, and the settings of generation.
        seed: Makes the resamples repeatable.
        primary_metric: What the headline is about; that of ``config.generation`` unless told.
        rules: What a valid answer is, as ``rules.rules`` reads it from the recipe.
        project: Its name.
        general_text: Perplexity on general text before and after training.
        judgement: What a judge found about subject and rival.
        harness: What lm-evaluation-harness measured.
        figures: What training took; ``provenance`` (a mapping) gets a block of its own.
        lineage: Where the subject comes from.

    Raises:
        InputError: When there is no model, two have one name, or a model was asked about other rows.
    """
    subject, others = _cast(models, rules)
    rival = others[0] if others else None
    notes: list[str] = []
    by_rows = _metric(primary_metric or config.generation.primary_metric, subject, judgement, notes)
    primary = "win_rate" if by_rows is None else by_rows
    slice_metric = by_rows or "token_f1"
    comparisons = tuple(compare(subject, other, config=config, seed=seed) for other in others)
    measured = tuple(_measured(one, config, seed=seed) for one in (subject, *others))
    standing, headline = _headline(primary, subject, measured[0], comparisons, judgement, config)
    forgetting = _forgetting(general_text, config.generation.max_forgetting)
    notes += _notes(measured[0], comparisons, forgetting, config)
    return LanguageReport(
        project=project,
        headline=headline,
        standing=standing,
        subject=subject.answers.name,
        rival=rival.answers.name if rival else None,
        primary_metric=primary,
        confidence=config.confidence,
        rows=len(subject),
        models=measured,
        comparisons=comparisons,
        slices=slices(subject, others, rival, metric=slice_metric, config=config, seed=seed),
        slice_metric=slice_metric,
        forgetting=forgetting,
        judgement=judgement,
        harness=tuple(harness),
        examples=choose(
            subject, rival, metric=slice_metric, sign=METRICS[slice_metric].sign, count=config.worst_mistakes
        ),
        figures=plain(figures or {}),
        settings=config.generation.model_dump(mode="json", exclude={"judge": {"url"}}),
        notes=tuple(dict.fromkeys(notes)),
        lineage=lineage,
    )


def _cast(models: Sequence[Answers], rules: AnswerRules | None) -> tuple[Scored, list[Scored]]:
    """Score the models, tell the subject from those beside it, the rival first, and bring all to one order."""
    if not models:
        raise InputError("there is no model to report on", place="report", mend="give the answers of one")
    names = [one.name for one in models]
    if len(set(names)) != len(names):
        raise InputError(
            f"two models have the same name ({', '.join(names)})", place="report", mend="name them apart"
        )
    chosen = next((one for one in models if one.role == "tuned"), models[0])
    beside = sorted(
        (one for one in models if one is not chosen), key=lambda one: (RIVALS.index(one.role), one.name)
    )
    subject = score_rows(chosen, rules)
    others = []
    for one in beside:
        mine, other, notes = align(subject, score_rows(one, rules))
        if notes:
            raise InputError(
                f"has answered other rows than '{chosen.name}' ({notes[0]})",
                place=f"answers of '{one.name}'",
                mend="let all models answer the same test rows",
            )
        subject = mine
        others.append(other)
    return subject, others


def _metric(
    wanted: GenerationMetric, subject: Scored, judgement: Judgement | None, notes: list[str]
) -> MetricName | None:
    """Return the figure that heads the report; None is the win rate."""
    if wanted == "win_rate":
        if judgement and judgement.win_rate:
            return None
        found: MetricName = "token_f1"
        notes.append("No judge has compared the answers: token F1 heads the report instead of the win rate.")
    else:
        found = wanted
    if subject.figure(found) is not None:
        return found
    notes.append(
        f"No row has the figure {METRICS[found].title}: perplexity heads the report instead."
        + (" What a valid answer is has to be told: set answer_format." if found == "valid" else "")
    )
    return "perplexity"


def _measured(one: Scored, config: EvaluationConfig, *, seed: int) -> LanguageFigures:
    """Measure one model, with intervals."""
    written = sum(row.tokens for row in one.answers.answers)
    seconds = one.answers.seconds
    return LanguageFigures(
        name=one.answers.name,
        role=one.answers.role,
        metrics=measure(one),
        intervals=intervals(one, config=config, seed=seed),
        seconds=seconds,
        tokens_per_second=written / seconds if seconds > 0 and written else None,
        size_bytes=one.answers.size_bytes,
    )


def _headline(
    primary: MetricName | Literal["win_rate"],
    subject: Scored,
    measured: LanguageFigures,
    comparisons: Sequence[LanguageComparison],
    judgement: Judgement | None,
    config: EvaluationConfig,
) -> tuple[Standing | None, str]:
    """Say in one sentence how the subject stands beside its rival."""
    level = config.confidence
    if primary == "win_rate":
        if not judgement or not judgement.win_rate:
            raise InputError("there is no verdict of a judge", place="report")
        rate = judgement.win_rate
        standing: Standing = "better" if rate.low > EVEN else "worse" if rate.high < EVEN else "as_good"
        return standing, wording.judged(judgement, rate, standing, confidence=level)
    found = comparisons[0].of(primary) if comparisons else None
    if found is None:
        interval, rows = measured.intervals[primary], int(subject.applies(primary).sum())
        return None, wording.alone(measured.name, interval, primary, rows, confidence=level)
    return found.standing, wording.against(comparisons[0].a, comparisons[0].b, found, confidence=level)


def _forgetting(general_text: tuple[float, float] | None, limit: float | None) -> Forgetting | None:
    if general_text is None:
        return None
    before, after = general_text
    ratio = after / before
    too_much = limit is not None and not ratio <= limit
    return Forgetting(before=before, after=after, ratio=ratio, limit=limit, too_much=too_much)


def _notes(
    measured: LanguageFigures,
    comparisons: Sequence[LanguageComparison],
    forgetting: Forgetting | None,
    config: EvaluationConfig,
) -> list[str]:
    """Say what limits the figures."""
    metrics, notes = measured.metrics, []
    if metrics.rows < config.gate.min_rows:
        notes.append(f"{metrics.rows:,} rows are few: the intervals are wide and every rank may change.")
    if (metrics.unfinished or 0.0) > MANY_UNFINISHED:
        notes.append(
            f"{wording.written(metrics.unfinished, 'unfinished')} of {measured.name}'s answers were cut off at"
            f" {config.generation.max_new_tokens} tokens: raise max_new_tokens, or see whether its stop token was"
            " learned."
        )
    if forgetting and forgetting.too_much:
        notes.append(
            f"Perplexity on general text rose to {forgetting.ratio:.2f} times what it was; {forgetting.limit:g} is"
            " allowed."
        )
    notes += [f"{one.a} against {one.b}: {note}." for one in comparisons for note in one.notes]
    return notes
