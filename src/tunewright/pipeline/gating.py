"""Challenger against champion: gather what the gate looks at, ask it, write its answer down, act on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunewright.data.dataset import Dataset
from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import read_json

if TYPE_CHECKING:
    import numpy as np

    from tunewright.evaluation.predictions import Predictions
    from tunewright.models.classifier import Classifier
    from tunewright.pipeline.job import Job
    from tunewright.registry.references import Version
    from tunewright.registry.tracking import Tracking


def challenge(job: Job) -> dict[str, Any]:
    """Decide about the version that this run registered, and move the alias when the gate says so.

    Returns:
        The verdict with ``model``, ``version``, ``incumbent_version``, ``promoted`` and ``by_source``.
    """
    from tunewright.evaluation.predictions import Predictions

    registered = read_json(job.paths.models / "registered.json")
    tuned = Predictions.load(job.paths.reports / "evaluation" / "tuned.parquet")
    return decide_about(job, int(registered["version"]), tuned)


def decide_about(job: Job, version: int, answers: Predictions) -> dict[str, Any]:
    """Let a version of the project's model challenge the champion.

    Args:
        job: The recipe and the project.
        version: The challenger.
        answers: Its answers on the frozen test rows.
    """
    from tunewright.evaluation.predictions import Predictions
    from tunewright.evaluation.slices import slice_masks
    from tunewright.pipeline.forgetting import by_source
    from tunewright.registry.gate import decide
    from tunewright.registry.tracking import connect

    dataset = Dataset.load(job.paths.processed)
    tracking = connect(job.recipe, job.paths)
    registered = {"model": tracking.model_name, "version": version}
    baselines = job.paths.reports / "baselines"
    champion = champion_of(tracking)
    if champion is not None and champion.version == version:
        return {**already(registered), "promoted": True}
    incumbent = None
    if champion is not None:
        classifier = _opened(tracking, champion)
        new, old = _times_in_turn(job, tracking, version, classifier, dataset)
        answers = _timed(answers, *new)
        incumbent = _champion_answers(job, tracking, champion, classifier, dataset, times=old)
    verdict = decide(
        answers,
        incumbent,
        label_names=dataset.label_names,
        slices=slice_masks(dataset, job.recipe.evaluation),
        config=job.recipe.evaluation,
        trivial=Predictions.load(baselines / "majority.parquet"),
        base=Predictions.load(baselines / "base.parquet"),
        seed=job.recipe.seed,
    )
    facts = {
        **verdict.model_dump(mode="json"),
        **registered,
        "incumbent_version": champion.version if champion else None,
        "promoted": verdict.decision == "promote",
        "by_source": [each.model_dump(mode="json") for each in by_source(dataset, answers, incumbent)],
    }
    record_verdict(job, tracking, registered, facts)
    return facts


def champion_of(tracking: Tracking) -> Version | None:
    """Return the version that holds the champion alias, if one does."""
    from tunewright.registry.references import CHAMPION, versions_of

    found = versions_of(tracking, tracking.model_name)
    return next((version for version in found if CHAMPION in version.aliases), None)


def already(registered: dict[str, Any]) -> dict[str, Any]:
    """Return the verdict on a version that is the champion."""
    name = f"{registered['model']} version {registered['version']}"
    return {
        "model": registered["model"],
        "version": registered["version"],
        "incumbent_version": registered["version"],
        "decision": "keep",
        "summary": f"{name} is the champion already",
    }


def _opened(tracking: Tracking, champion: Version) -> Classifier:
    """Open the champion.

    Raises:
        TunewrightError: When it can't be opened.
    """
    from tunewright.registry.models import load

    try:
        return load(tracking, champion.reference)
    except TunewrightError as error:
        raise TunewrightError(
            f"the champion, version {champion.version}, can't be opened ({error.fact})",
            place=error.place,
            mend="restore it, or choose another by hand: `tunewright models promote NAME/VERSION`",
        ) from error


def _times_in_turn(
    job: Job, tracking: Tracking, challenger: int, champion: Classifier, dataset: Dataset
) -> list[tuple[float, float]]:
    """Time both models in turn on the same texts: figures taken at different times differ by what else ran then."""
    from tunewright.evaluation.latency import time_side_by_side
    from tunewright.registry.models import load

    models = (load(tracking, f"{tracking.model_name}/{challenger}"), champion)
    return time_side_by_side(
        models, dataset.examples("test").texts, samples=job.recipe.evaluation.latency_samples
    )


def _timed(answers: Predictions, p50_ms: float, p95_ms: float) -> Predictions:
    """Give answers other times."""
    from dataclasses import replace

    from tunewright.evaluation.latency import Latency

    throughput = answers.latency.rows_per_second if answers.latency else 0.0
    return replace(answers, latency=Latency(p50_ms, p95_ms, throughput))


def _champion_answers(
    job: Job,
    tracking: Tracking,
    champion: Version,
    classifier: Classifier,
    dataset: Dataset,
    *,
    times: tuple[float, float],
) -> Predictions:
    """Let the champion answer the frozen test rows, those aside that it learned from."""
    import numpy as np

    from tunewright.evaluation.predictions import predict_split
    from tunewright.registry.lineage import row_digest, rows_trained_on

    test = dataset.examples("test")
    answers = predict_split(
        classifier,
        test,
        name=f"champion (version {champion.version})",
        role="champion",
        config=job.recipe.evaluation,
        size_bytes=int(champion.facts.get("size_bytes", 0)) or classifier.size_bytes,
        times=times,
    )
    if not set(classifier.label_names) & set(dataset.label_names):
        raise InputError(
            f"the champion, version {champion.version}, shares no label with this data set",
            place=champion.name,
            mend="give this task a registry.model_name of its own",
        )
    answers = in_label_order(answers, classifier.label_names, dataset.label_names)
    seen = rows_trained_on(tracking, champion)
    unseen = [position for position, text in enumerate(test.texts) if row_digest(text) not in seen]
    return answers if len(unseen) == len(test) else answers.take(np.asarray(unseen, dtype=np.int64))


def in_label_order(answers: Predictions, names: tuple[str, ...], wanted: tuple[str, ...]) -> Predictions:
    """Bring answers of a model with other labels, or another order of them, to the data set's labels.

    A label that the model doesn't know gets a probability of zero, one that the data set doesn't know is dropped.
    """
    from dataclasses import replace

    import numpy as np

    if names == wanted:
        return answers
    columns: list[np.ndarray] = [
        answers.log_probabilities[:, names.index(name)] if name in names else np.full(len(answers), -np.inf)
        for name in wanted
    ]
    return replace(answers, log_probabilities=np.stack(columns, axis=1).astype(np.float32))


def record_verdict(job: Job, tracking: Tracking, registered: dict[str, Any], facts: dict[str, Any]) -> None:
    """Keep the verdict with the challenger's run; promote when it says so."""
    from tunewright.registry.references import find_version
    from tunewright.registry.versions import promote

    reference = f"{registered['model']}/{registered['version']}"
    version = find_version(tracking, reference)
    tracking.client.log_dict(version.run_id, facts, "verdict.json")
    tracking.client.log_artifact(
        version.run_id, str(job.paths.reports / "evaluation" / "report.html"), "report"
    )
    if facts["promoted"]:
        promote(tracking, reference, reason=facts["summary"], verdict=digest_json(facts))
