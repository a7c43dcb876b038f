"""Everything that one evaluation found, as data: ``report.json`` holds it, ``page`` shows it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from tunewright.data.dataset import Facts
from tunewright.evaluation.bootstrap import interval, resample
from tunewright.evaluation.calibration import Bin, reliability
from tunewright.evaluation.comparison import Comparison, compare
from tunewright.evaluation.conclusion import Conclusion, best, conclude
from tunewright.evaluation.graph import Graph  # noqa: TC001 - pydantic reads it at run time
from tunewright.evaluation.intervals import Interval, share
from tunewright.evaluation.latency import Latency  # noqa: TC001 - pydantic reads it at run time
from tunewright.evaluation.metrics import Metrics, confusion, score
from tunewright.evaluation.mistakes import Confusion, Mistake, top_confusions, worst_mistakes
from tunewright.evaluation.predictions import Role  # noqa: TC001 - pydantic reads it at run time
from tunewright.evaluation.slices import slice_masks
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from tunewright.config.schema import EvaluationConfig, Recipe
    from tunewright.data.dataset import Dataset
    from tunewright.evaluation.predictions import Predictions

VERSION = 1
"""Layout of ``report.json``."""


class ModelFigures(Facts):
    """One line of the comparison table."""

    name: str
    role: Role
    metrics: Metrics
    accuracy: Interval
    balanced_accuracy: Interval
    f1_macro: Interval
    latency: Latency | None
    size_bytes: int | None


class Slice(Facts):
    """A part of the test rows."""

    name: str
    rows: int
    accuracy: Interval
    """Of the fine-tuned model."""
    others: dict[str, float]
    """Accuracy of the other models, by name."""
    below: bool
    """Whether the interval lies below the model's accuracy on all rows."""


class Source(Facts):
    """The data that the figures rest on."""

    uri: str
    digest: str
    split_by: str
    splits: dict[str, int]
    test_labels: dict[str, int]


class Report(Facts):
    """What one evaluation found; frozen, and the same after a trip through JSON."""

    version: int = VERSION
    project: str
    headline: str
    conclusion: Conclusion
    subject: str
    """Name of the model that the details are about."""
    primary_metric: str
    confidence: float
    source: Source
    label_names: tuple[str, ...]
    models: tuple[ModelFigures, ...]
    """The subject first, then the others, the best first."""
    comparisons: tuple[Comparison, ...]
    """The subject against each other model."""
    confusion: tuple[tuple[int, ...], ...]
    """Line = true label, column = the subject's answer."""
    confusions: tuple[Confusion, ...]
    calibration: tuple[Bin, ...]
    slices: tuple[Slice, ...]
    mistakes: tuple[Mistake, ...]
    history: tuple[dict[str, float], ...]
    """Learning curves: one entry an epoch."""
    figures: dict[str, Any]
    """What training took, the forecast beside it, and the provenance."""
    recipe: dict[str, Any]
    notes: tuple[str, ...] = ()
    """What a reader must know before trusting a figure."""
    lineage: Graph | None = None
    """Where the subject comes from, to be drawn."""

    @property
    def rows(self) -> int:
        """Test rows."""
        return self.models[0].metrics.rows


def build_report(
    dataset: Dataset,
    predictions: Sequence[Predictions],
    *,
    recipe: Recipe,
    history: Sequence[Mapping[str, float]],
    figures: Mapping[str, object],
    lineage: Graph | None = None,
) -> Report:
    """Measure and compare models on the frozen test rows.

    Args:
        dataset: Gives texts, files and label names of the test rows.
        predictions: Answers of the models; the one with role ``tuned`` (else the first) is the subject.
        recipe: Settings of the run.
        history: Figures by epoch: ``epoch``, ``step``, ``train/loss``, ``validation/…``.
        figures: What training took. Two keys have a meaning: ``forecast`` (what was expected beside it) and
            ``provenance`` (run, commit, data digest, hardware, library versions), both mappings.
        lineage: Where the subject comes from, from source to model.

    Raises:
        InputError: When there is no model, or one was not asked about these test rows.
    """
    config, names = recipe.evaluation, dataset.label_names
    examples = dataset.examples("test")
    subject, others = _cast(predictions)
    _check_rows((subject, *others), examples.ids)
    measured = {one.name: _measured(one, names, config, seed=recipe.seed) for one in (subject, *others)}
    others.sort(key=lambda one: -float(getattr(measured[one.name].metrics, config.primary_metric)))
    comparisons = tuple(compare(subject, other, names, config, seed=recipe.seed) for other in others)
    conclusion = _conclusion(subject, others, comparisons, measured, config)
    matrix = confusion(subject.labels, subject.predicted, len(names))
    kept = tuple(_finite(entry) for entry in history)
    return Report(
        project=recipe.project,
        headline=conclusion.headline,
        conclusion=conclusion,
        subject=subject.name,
        primary_metric=config.primary_metric,
        confidence=config.confidence,
        source=_source(dataset),
        label_names=names,
        models=tuple(measured[one.name] for one in (subject, *others)),
        comparisons=comparisons,
        confusion=tuple(tuple(int(count) for count in line) for line in matrix),
        confusions=top_confusions(subject, names),
        calibration=reliability(subject.labels, subject.log_probabilities, bins=config.calibration_bins),
        slices=_slices(subject, others, slice_masks(dataset, config), examples.ids, config),
        mistakes=worst_mistakes(
            subject, examples, names, others={one.name: one for one in others}, count=config.worst_mistakes
        ),
        history=kept,
        figures=plain(figures),
        recipe=recipe.model_dump(mode="json"),
        notes=_notes(measured[subject.name].metrics, config, history, kept),
        lineage=lineage,
    )


def _cast(predictions: Sequence[Predictions]) -> tuple[Predictions, list[Predictions]]:
    """Tell the subject from the models beside it."""
    if not predictions:
        raise InputError("there is no model to report on", mend="run `tunewright run --from evaluate`")
    names = [one.name for one in predictions]
    if len(set(names)) != len(names):
        raise InputError(
            f"two models have the same name ({', '.join(names)})", place="report", mend="name them apart"
        )
    subject = next((one for one in predictions if one.role == "tuned"), predictions[0])
    return subject, [one for one in predictions if one is not subject]


def _check_rows(predictions: Sequence[Predictions], rows: Sequence[int]) -> None:
    """Refuse answers about other rows than the frozen test rows."""
    wanted = sorted(rows)
    for one in predictions:
        if sorted(one.rows.tolist()) != wanted:
            raise InputError(
                f"has {len(one):,} answers that are not those of the {len(wanted):,} test rows",
                place=f"predictions of '{one.name}'",
                mend="run `tunewright run --from baseline --force`",
            )


def _measured(one: Predictions, names: Sequence[str], config: EvaluationConfig, *, seed: int) -> ModelFigures:
    """Measure one model, with intervals."""
    metrics = score(one.labels, one.log_probabilities, names, bins=config.calibration_bins)
    (drawn,) = resample(one.labels, (one.predicted,), samples=config.bootstrap_samples, seed=seed)
    level = config.confidence
    return ModelFigures(
        name=one.name,
        role=one.role,
        metrics=metrics,
        accuracy=share(int(one.correct.sum()), len(one), confidence=level),
        balanced_accuracy=interval(metrics.balanced_accuracy, drawn.balanced_accuracy, confidence=level),
        f1_macro=interval(metrics.f1_macro, drawn.f1_macro, confidence=level),
        latency=one.latency,
        size_bytes=one.size_bytes,
    )


def _conclusion(
    subject: Predictions,
    others: Sequence[Predictions],
    comparisons: Sequence[Comparison],
    measured: Mapping[str, ModelFigures],
    config: EvaluationConfig,
) -> Conclusion:
    """Hold the subject against the best of the trivial models."""
    against = {comparison.b: comparison for comparison in comparisons}
    simple = [(one, measured[one.name].metrics) for one in others if one.role == "trivial"]
    if not simple:
        return conclude(subject, measured[subject.name].metrics, None, config)
    rival, metrics = simple[best(simple, config)]
    return conclude(subject, measured[subject.name].metrics, (rival, metrics, against[rival.name]), config)


def _slices(
    subject: Predictions,
    others: Sequence[Predictions],
    masks: Mapping[str, np.ndarray],
    rows: Sequence[int],
    config: EvaluationConfig,
) -> tuple[Slice, ...]:
    """Measure each slice; masks run in the order of ``rows``."""
    import numpy as np

    overall = float(subject.correct.mean())
    found = []
    for name, mask in masks.items():
        inside = np.asarray(rows)[mask]
        right = subject.correct[np.isin(subject.rows, inside)]
        accuracy = share(int(right.sum()), len(right), confidence=config.confidence)
        beside = {one.name: float(one.correct[np.isin(one.rows, inside)].mean()) for one in others}
        found.append(
            Slice(name=name, rows=len(right), accuracy=accuracy, others=beside, below=accuracy.high < overall)
        )
    return tuple(found)


def _source(dataset: Dataset) -> Source:
    """Name the data."""
    manifest = dataset.manifest
    return Source(
        uri=manifest.source.uri,
        digest=manifest.digest,
        split_by=manifest.split_by,
        splits=manifest.splits,
        test_labels=manifest.split_labels.get("test", {}),
    )


def _notes(
    metrics: Metrics,
    config: EvaluationConfig,
    history: Sequence[Mapping[str, float]],
    kept: Sequence[Mapping[str, float]],
) -> tuple[str, ...]:
    """Say what limits the figures."""
    notes = []
    if metrics.rows < config.gate.min_rows:
        notes.append(f"{metrics.rows:,} test rows are few: the intervals are wide and every rank may change.")
    if metrics.labels_without_rows:
        names = ", ".join(metrics.labels_without_rows)
        notes.append(f"No test row has these labels, so their recall and F1 are 0: {names}.")
    if sum(map(len, kept)) < sum(map(len, history)):
        notes.append("Some figures of the learning curves were not numbers and are left out.")
    return tuple(notes)


def _finite(entry: Mapping[str, float]) -> dict[str, float]:
    """Drop figures that are not numbers, which JSON can't hold."""
    return {name: float(value) for name, value in entry.items() if math.isfinite(value)}


def plain(figures: Mapping[str, object]) -> dict[str, Any]:
    """Turn figures into JSON values; what isn't a number becomes null."""
    text = json.dumps(figures, default=str)
    values: dict[str, Any] = json.loads(text, parse_constant=lambda _: None)
    return values
