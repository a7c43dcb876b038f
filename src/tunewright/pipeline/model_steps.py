"""The steps that give models: check, baseline, train, evaluate, register, promote."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tunewright.data.dataset import Dataset
from tunewright.pipeline import language_steps
from tunewright.pipeline.executing import executing
from tunewright.pipeline.pointers import BASE, CANDIDATE, logged_in
from tunewright.pipeline.step_facts import (
    CHECK,
    base_of,
    cleaning,
    data_tags,
    forecast_score,
    provenance,
    tags,
)
from tunewright.pipeline.versioning import say_whether_pushed
from tunewright.support.console import say
from tunewright.support.files import read_json, write_json, writing_folder

if TYPE_CHECKING:
    from pathlib import Path

    from tunewright.evaluation.report import Report
    from tunewright.models.classifier import Classifier
    from tunewright.pipeline.job import Job
    from tunewright.registry.certificate import Certificate

REGISTERED = "registered.json"
VERDICT = "verdict.json"


def check(job: Job) -> None:
    """Refuse a base or tokenizer that doesn't suit the data, and forecast time and memory from three real steps."""
    if job.recipe.trains_language_model:
        language_steps.check(job)
        return
    from tunewright.models.tokenizers import check_tokenizer, load_tokenizer
    from tunewright.training.forecast import forecast

    dataset = Dataset.load(job.paths.processed)
    with executing(job, "check", tags=tags(dataset)) as run:
        base = base_of(job)
        texts = dataset.examples("train").texts
        report = check_tokenizer(load_tokenizer(base, job.recipe.model), base, texts, job.recipe.model)
        expected = forecast(dataset, base, job.recipe)
        run.json("forecast.json", expected.model_dump(mode="json"))
    lines = [*report.lines(), *expected.lines()]
    for line in lines:
        say(f"    {line}")
    facts = {
        "base": base.name,
        "base_digest": base.digest,
        "tokenizer": asdict(report),
        "forecast": expected.model_dump(mode="json"),
    }
    write_json(job.paths.reports / CHECK, {**facts, "lines": lines})


def baseline(job: Job) -> None:
    """Score the trivial baselines and the untouched base on the test rows; log the base to MLflow."""
    if job.recipe.trains_language_model:
        language_steps.baseline(job)
        return
    from tunewright.evaluation.baselines import majority, tfidf

    dataset = Dataset.load(job.paths.processed)
    train, test = dataset.examples("train"), dataset.examples("test")
    config, names = job.recipe.evaluation, dataset.label_names
    trivial = {
        "majority": lambda: majority(train, test, names, config),
        "tfidf": lambda: tfidf(train, test, names, config, seed=job.recipe.seed),
    }
    with writing_folder(job.paths.reports / "baselines") as folder:
        for name in {"majority", *config.baselines} - {"base"}:
            trivial[name]().save(folder / f"{name}.parquet")
        _baseline_of_base(job, dataset, folder)


def _baseline_of_base(job: Job, dataset: Dataset, folder: Path) -> None:
    """Fit a head on the frozen base; it is also what adapters stand on, so it is always logged."""
    from tunewright.evaluation.predictions import predict_split
    from tunewright.models.frozen import fit_head
    from tunewright.registry.models import log_classifier

    with executing(job, "baseline", recipe=job.recipe, tags=tags(dataset)) as run:
        run.log_dataset(dataset)
        head = fit_head(
            base_of(job),
            dataset.examples("train"),
            dataset.label_names,
            job.recipe.model,
            seed=job.recipe.seed,
            cleaning=cleaning(job),
        )
        predictions = predict_split(
            head,
            dataset.examples("test"),
            name="base",
            role="base",
            config=job.recipe.evaluation,
            size_bytes=head.size_bytes,
        )
        predictions.save(folder / "base.parquet")
        run.metrics({"test/accuracy": float(predictions.correct.mean())}, 0)
        logged = log_classifier(run, head, certificate=_certify(job, dataset, head), role="base")
    write_json(job.paths.models / BASE, logged.model_dump(mode="json"))


def train(job: Job) -> None:
    """Fine-tune, certify, and log the candidate; a killed training goes on from its last checkpoint."""
    if job.recipe.trains_language_model:
        language_steps.train(job)
        return
    from tunewright.registry.lineage import log_lineage
    from tunewright.registry.models import load, log_classifier
    from tunewright.registry.tracking import connect
    from tunewright.training.classification import identity
    from tunewright.training.classification import train as fine_tune

    dataset = Dataset.load(job.paths.processed)
    say_whether_pushed(job.recipe, job.paths)
    base = base_of(job)
    tracking = connect(job.recipe, job.paths)
    logged_base = logged_in(job.paths, BASE)
    head = load(tracking, logged_base.uri) if job.recipe.training.initial_head == "fitted" else None
    key = identity(dataset, base, job.recipe, head=head)
    attempt = job.paths.checkpoints / f"{key}.json"
    earlier = read_json(attempt)["run_id"] if attempt.is_file() else None
    with executing(job, "train", recipe=job.recipe, tags=data_tags(job, dataset), resume=earlier) as run:
        write_json(attempt, {"run_id": run.run_id})
        run.log_dataset(dataset)
        candidate = fine_tune(
            dataset, base, job.recipe, workspace=job.paths.checkpoints, recorder=run, head=head
        )
        run.require_metrics()
        figures = asdict(candidate.figures)
        figures["forecast"] = forecast_score(job, candidate.figures)
        run.json("training.json", {"figures": figures, "history": [dict(each) for each in candidate.history]})
        logged = log_classifier(
            run,
            candidate.classifier,
            certificate=_certify(job, dataset, candidate.classifier),
            base=logged_base,
            tags={"method": candidate.method, "base": base.name},
        )
        log_lineage(run, dataset)
    pointer = {
        "logged": logged.model_dump(mode="json"),
        "base": {"name": base.name, "digest": base.digest},
        "history": [dict(each) for each in candidate.history],
        "figures": figures,
    }
    write_json(job.paths.models / CANDIDATE, pointer)
    shutil.rmtree(job.paths.checkpoints / key)
    attempt.unlink()


def evaluate(job: Job) -> None:
    """Open the candidate as the registry gives it, replay its certificate, and compare it on the test rows."""
    if job.recipe.trains_language_model:
        language_steps.evaluate(job)
        return
    dataset = Dataset.load(job.paths.processed)
    with executing(job, "evaluate", tags=tags(dataset)) as run:
        report = _compare(job, dataset)
        tuned = next(model.metrics for model in report.models if model.role == "tuned")
        run.metrics({"test/accuracy": tuned.accuracy, "test/f1_macro": tuned.f1_macro}, 0)
        run.artifact(job.paths.reports / "evaluation" / "report.html", "report")
    say(f"    {report.headline}")


def _compare(job: Job, dataset: Dataset) -> Report:
    """Open the candidate, let it answer the test rows, and write the report."""
    from tunewright.evaluation.page import write_report
    from tunewright.evaluation.predictions import Predictions, predict_split
    from tunewright.evaluation.report import build_report
    from tunewright.pipeline.tracing.version import candidate_lineage
    from tunewright.registry.certificate import replay
    from tunewright.registry.models import load, load_certificate
    from tunewright.registry.tracking import connect

    uri = logged_in(job.paths, CANDIDATE).uri
    pointer = read_json(job.paths.models / CANDIDATE)
    tracking = connect(job.recipe, job.paths)
    classifier = load(tracking, uri)
    replay(load_certificate(tracking, uri), classifier)
    tuned = predict_split(
        classifier,
        dataset.examples("test"),
        name="tuned",
        role="tuned",
        config=job.recipe.evaluation,
        size_bytes=pointer["logged"]["size_bytes"],
    )
    wanted = ("base", "tfidf", "majority")
    others = [
        Predictions.load(job.paths.reports / "baselines" / f"{name}.parquet")
        for name in _present(job, wanted)
    ]
    report = build_report(
        dataset,
        [tuned, *others],
        recipe=job.recipe,
        history=pointer["history"],
        figures={**pointer["figures"], "provenance": provenance(pointer, dataset)},
        lineage=candidate_lineage(tracking, dataset, pointer),
    )
    with writing_folder(job.paths.reports / "evaluation") as folder:
        write_report(report, folder)
        tuned.save(folder / "tuned.parquet")
    return report


def register(job: Job) -> None:
    """Register base and candidate as versions, each once."""
    from tunewright.registry.models import register as make_version
    from tunewright.registry.references import versions_of
    from tunewright.registry.tracking import connect

    tracking = connect(job.recipe, job.paths)
    report = read_json(job.paths.reports / "evaluation" / "report.json")
    metrics = (
        language_steps.headline_metrics(report)
        if job.recipe.trains_language_model
        else {model["role"]: _headline_metrics(model["metrics"]) for model in report["models"]}
    )
    dataset = Dataset.load(job.paths.processed)
    pointers = {"base": logged_in(job.paths, BASE), "tuned": logged_in(job.paths, CANDIDATE)}
    known = {version.uri: version for version in versions_of(tracking, tracking.model_name)}
    versions = {}
    with executing(job, "register", tags=tags(dataset)) as run:
        for role, logged in pointers.items():
            facts = {"data_digest": dataset.manifest.digest, "metrics": metrics.get(role, {})}
            version = known.get(logged.uri) or make_version(tracking, logged, facts=facts)
            versions[role] = version.version
            run.tags({f"version_{role}": version.version})
            say(f"    {role}: {version.name} version {version.version}")
    record = {"model": tracking.model_name, "version": versions["tuned"], "base_version": versions["base"]}
    write_json(job.paths.models / REGISTERED, record)


def promote(job: Job) -> None:
    """Ask the gate, write the verdict down, and move the alias when it says so."""
    from tunewright.pipeline import gating, language_gating
    from tunewright.pipeline.forgetting import Part, describe

    decide = language_gating.challenge if job.recipe.trains_language_model else gating.challenge
    with executing(job, "promote") as run:
        verdict = decide(job)
        run.tags(
            {"decision": verdict["decision"], "promoted": verdict["promoted"], "model": verdict["version"]}
        )
        run.json(VERDICT, verdict)
    write_json(job.paths.reports / VERDICT, verdict)
    say(f"    {verdict['summary']}")
    for part in verdict.get("by_source", []):
        say(f"    {describe(Part.model_validate(part))}")


def _certify(job: Job, dataset: Dataset, classifier: Classifier) -> Certificate:
    from tunewright.registry.certificate import choose_probes, record

    settings = job.recipe.registry
    probes = choose_probes(dataset.examples("validation").texts, settings.probes)
    return record(classifier, probes, bound=settings.certificate_bound)


def _present(job: Job, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name in job.recipe.evaluation.baselines]


def _headline_metrics(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: metrics[name] for name in ("accuracy", "balanced_accuracy", "f1_macro", "f1", "ece")}
