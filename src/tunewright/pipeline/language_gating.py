"""Language models, challenger against champion: answers to the same rows, the gate's verdict, and what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunewright.data.dataset import Dataset
from tunewright.pipeline.gating import already, champion_of, record_verdict
from tunewright.support.errors import TunewrightError
from tunewright.support.files import read_json

if TYPE_CHECKING:
    from tunewright.evaluation.language.answers import Answers
    from tunewright.pipeline.job import Job
    from tunewright.registry.references import Version
    from tunewright.registry.tracking import Tracking


def challenge(job: Job) -> dict[str, Any]:
    """Decide about the version that this run registered, and move the alias when the gate says so.

    Returns:
        The verdict with ``model``, ``version``, ``incumbent_version`` and ``promoted``.
    """
    from tunewright.evaluation.language.answers import Answers
    from tunewright.evaluation.language.figures import score_rows
    from tunewright.evaluation.language.report import LanguageReport
    from tunewright.evaluation.language.rules import rules
    from tunewright.registry.language_gate import decide
    from tunewright.registry.tracking import connect

    dataset, config = Dataset.load(job.paths.processed), job.recipe.evaluation
    tracking = connect(job.recipe, job.paths)
    registered = {
        "model": tracking.model_name,
        "version": int(read_json(job.paths.models / "registered.json")["version"]),
    }
    champion = champion_of(tracking)
    if champion is not None and champion.version == registered["version"]:
        return {**already(registered), "promoted": True}
    report = LanguageReport.model_validate(read_json(job.paths.reports / "evaluation" / "report.json"))
    asked = rules(config.generation, folder=job.paths.root)
    tuned = Answers.load(job.paths.reports / "evaluation" / "tuned.parquet")
    base = Answers.load(job.paths.reports / "baselines" / "base.parquet")
    incumbent = None if champion is None else _champion_answers(job, tracking, champion, dataset)
    verdict = decide(
        score_rows(tuned, asked),
        None if incumbent is None else score_rows(incumbent, asked),
        score_rows(base, asked),
        metric=report.slice_metric,
        config=config,
        forgetting=report.forgetting,
        seed=job.recipe.seed,
    )
    facts = {
        **verdict.model_dump(mode="json"),
        **registered,
        "incumbent_version": champion.version if champion else None,
        "promoted": verdict.decision == "promote",
    }
    record_verdict(job, tracking, registered, facts)
    return facts


def _champion_answers(job: Job, tracking: Tracking, champion: Version, dataset: Dataset) -> Answers:
    """Let the champion answer the frozen test rows, those aside that it learned from."""
    from tunewright.data.chat.saying import text_of
    from tunewright.evaluation.language.asking import answer_rows
    from tunewright.registry.language_models import load_language_model
    from tunewright.registry.lineage import row_digest, rows_trained_on

    try:
        model = load_language_model(tracking, champion.reference)
    except TunewrightError as error:
        raise TunewrightError(
            f"the champion, version {champion.version}, can't be opened ({error.fact})",
            place=error.place,
            mend="restore it, or choose another by hand: `tunewright models promote NAME/VERSION`",
        ) from error
    seen = rows_trained_on(tracking, champion)
    rows = [row for row in dataset.conversations("test") if row_digest(text_of(row)) not in seen]
    return answer_rows(
        model,
        rows,
        name=f"champion (version {champion.version})",
        role="champion",
        config=job.recipe.evaluation.generation,
        size_bytes=model.size_bytes,
    )
