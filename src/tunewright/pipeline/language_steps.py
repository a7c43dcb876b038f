"""The steps that give language models: check, baseline, train, evaluate, promote."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tunewright.data.dataset import Dataset
from tunewright.pipeline.executing import executing
from tunewright.pipeline.language_bases import language_base, template_of, untouched
from tunewright.pipeline.pointers import BASE, CANDIDATE, logged_in
from tunewright.pipeline.step_facts import CHECK, data_tags, forecast_score, provenance, tags
from tunewright.pipeline.versioning import say_whether_pushed
from tunewright.support.console import say
from tunewright.support.errors import InputError
from tunewright.support.files import read_json, write_json, writing_folder

if TYPE_CHECKING:
    from tunewright.evaluation.language.report import LanguageReport
    from tunewright.models.language.model import LanguageModel
    from tunewright.pipeline.job import Job
    from tunewright.registry.language_certificate import LanguageCertificate
    from tunewright.training.language.sft import ChatData

PREVIEW = "loss.html"
GENERAL = "general.json"
SHOWN_ROWS = 20


def check(job: Job) -> None:
    """Show what carries loss, refuse rows from which nothing sound would be learned, and forecast time and memory."""
    from tunewright.models.chat.preflight import inspect_rows
    from tunewright.models.chat.tokenizer import open_chat_tokenizer
    from tunewright.models.chat.view import render_page, summary
    from tunewright.models.language.model import length_limit
    from tunewright.support.files import write_text
    from tunewright.training.forecast import forecast_of
    from tunewright.training.language.methods import prepare
    from tunewright.training.language.rows import loss_of

    dataset, training = Dataset.load(job.paths.processed), job.recipe.training
    if training.objective == "reward":
        raise InputError(
            "a reward model writes no answers that could be compared, certified and promoted here",
            place="training.objective",
            mend="train it from Python: tunewright.training.language.methods.train (docs/preference-tuning.md)",
        )
    page = job.paths.reports / PREVIEW
    with executing(job, "check", tags=tags(dataset)) as run:
        base = language_base(job, dataset)
        chat = open_chat_tokenizer(base.folder, name=base.name, template=template_of(job))
        data = chat_data(dataset)
        found = inspect_rows(
            (*data.train, *data.validation),
            chat,
            loss=loss_of(training.loss_on),
            max_length=length_limit(chat, job.recipe.model.max_length),
            max_lost_share=training.max_lost_share,
            max_unknown_share=job.recipe.model.max_unknown_share,
            show=SHOWN_ROWS,
        )
        write_text(page, render_page(found, chat, source=str(job.recipe.data.source), model=base.name))
        found.require_sound(str(job.recipe.data.source))
        expected = forecast_of(
            lambda: prepare(data, base, job.recipe, template=template_of(job)), dataset.root
        )
        run.json("forecast.json", expected.model_dump(mode="json"))
        run.artifact(page)
    lines = [
        *(f"{name}: {words}" for name, words in summary(found, chat).items()),
        *chat.setup.changes,
        *found.notes,
        *expected.lines(),
    ]
    for line in lines:
        say(f"    {line}")
    facts = {
        "base": base.name,
        "base_digest": base.digest,
        "tokens": asdict(found.totals),
        "tokenizer": asdict(chat.setup),
        "forecast": expected.model_dump(mode="json"),
    }
    write_json(job.paths.reports / CHECK, {**facts, "lines": lines})


def baseline(job: Job) -> None:
    """Let the untouched base answer the test rows, and log it to MLflow."""
    from tunewright.evaluation.language.asking import answer_rows
    from tunewright.registry.language_models import log_language_model

    dataset = Dataset.load(job.paths.processed)
    config = job.recipe.evaluation.generation
    with (
        writing_folder(job.paths.reports / "baselines") as folder,
        executing(job, "baseline", recipe=job.recipe, tags=tags(dataset)) as run,
    ):
        run.log_dataset(dataset)
        model = untouched(job, language_base(job, dataset))
        answers = answer_rows(
            model,
            dataset.conversations("test"),
            name="base",
            role="base",
            config=config,
            size_bytes=model.size_bytes,
        )
        answers.save(folder / "base.parquet")
        write_json(folder / GENERAL, {"perplexity": general_perplexity(job, model)})
        certificate = certify(job, dataset, model)
        logged = log_language_model(run, model, certificate=certificate, role="base")
    write_json(job.paths.models / BASE, logged.model_dump(mode="json"))


def train(job: Job) -> None:
    """Fine-tune, certify, and log the candidate; a killed training goes on from its last checkpoint."""
    from tunewright.registry.language_models import log_language_model
    from tunewright.registry.lineage import log_lineage
    from tunewright.training.language.methods import train as fine_tune
    from tunewright.training.language.sft import identity

    dataset = Dataset.load(job.paths.processed)
    say_whether_pushed(job.recipe, job.paths)
    base, data = language_base(job, dataset), chat_data(dataset)
    template = template_of(job)
    key = identity(data, base, job.recipe, template)
    attempt = job.paths.checkpoints / f"{key}.json"
    earlier = read_json(attempt)["run_id"] if attempt.is_file() else None
    with executing(job, "train", recipe=job.recipe, tags=data_tags(job, dataset), resume=earlier) as run:
        write_json(attempt, {"run_id": run.run_id})
        run.log_dataset(dataset)
        candidate = fine_tune(
            data, base, job.recipe, workspace=job.paths.checkpoints, recorder=run, template=template
        )
        run.require_metrics()
        figures = asdict(candidate.figures)
        figures["forecast"] = forecast_score(job, candidate.figures)
        history = [dict(each) for each in candidate.history]
        run.json("training.json", {"figures": figures, "history": history})
        logged = log_language_model(
            run,
            candidate.model,
            certificate=certify(job, dataset, candidate.model),
            base=logged_in(job.paths, BASE),
            tags={"method": job.recipe.training.method, "base": base.name},
        )
        log_lineage(run, dataset)
    pointer = {
        "logged": logged.model_dump(mode="json"),
        "base": {"name": base.name, "digest": base.digest},
        "history": history,
        "figures": figures,
    }
    write_json(job.paths.models / CANDIDATE, pointer)
    shutil.rmtree(job.paths.checkpoints / key)
    attempt.unlink()


def evaluate(job: Job) -> None:
    """Open the candidate as the registry gives it, replay its certificate, and compare its answers with the base's."""
    dataset = Dataset.load(job.paths.processed)
    with executing(job, "evaluate", tags=tags(dataset)) as run:
        report = _compare(job, dataset)
        figures = next(each.metrics for each in report.models if each.role == "tuned").summary
        run.metrics({f"test/{name}": value for name, value in figures.items()}, 0)
        run.artifact(job.paths.reports / "evaluation" / "report.html", "report")


def _compare(job: Job, dataset: Dataset) -> LanguageReport:
    """Let the candidate answer the test rows, and write the report."""
    from tunewright.evaluation.language.answers import Answers
    from tunewright.evaluation.language.asking import answer_rows
    from tunewright.evaluation.language.page import write_report
    from tunewright.evaluation.language.report import build_report
    from tunewright.evaluation.language.rules import rules
    from tunewright.pipeline.tracing.version import candidate_lineage
    from tunewright.registry.language_certificate import replay
    from tunewright.registry.language_models import load_language_certificate, load_language_model
    from tunewright.registry.tracking import connect

    uri = logged_in(job.paths, CANDIDATE).uri
    pointer = read_json(job.paths.models / CANDIDATE)
    tracking, config = connect(job.recipe, job.paths), job.recipe.evaluation
    model = load_language_model(tracking, uri)
    replay(load_language_certificate(tracking, uri), model)
    tuned = answer_rows(
        model,
        dataset.conversations("test"),
        name="tuned",
        role="tuned",
        config=config.generation,
        size_bytes=model.size_bytes,
    )
    before = read_json(job.paths.reports / "baselines" / GENERAL)["perplexity"]
    after = general_perplexity(job, model)
    report = build_report(
        [tuned, Answers.load(job.paths.reports / "baselines" / "base.parquet")],
        config=config,
        seed=job.recipe.seed,
        rules=rules(config.generation, folder=job.paths.root),
        project=job.recipe.project,
        general_text=None if before is None or after is None else (before, after),
        figures={**pointer["figures"], "provenance": provenance(pointer, dataset)},
        lineage=candidate_lineage(tracking, dataset, pointer),
    )
    with writing_folder(job.paths.reports / "evaluation") as folder:
        write_report(report, folder)
        tuned.save(folder / "tuned.parquet")
    return report


def headline_metrics(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the figures of each model in a report's JSON, by role, for the model versions' tags."""
    from tunewright.evaluation.language.report import LanguageReport

    found = LanguageReport.model_validate(report)
    return {each.role: dict(each.metrics.summary) for each in found.models}


def certify(job: Job, dataset: Dataset, model: LanguageModel) -> LanguageCertificate:
    """Record what a model answers to some validation rows."""
    from tunewright.registry.language_certificate import choose_probes, record

    settings = job.recipe.registry
    probes = choose_probes(dataset.conversations("validation"), settings.probes)
    return record(model, probes, bound=settings.certificate_bound, model_digest=model.digest())


def chat_data(dataset: Dataset) -> ChatData:
    """Return the frozen rows that a training reads."""
    from tunewright.training.language.sft import ChatData

    return ChatData(
        train=dataset.conversations("train"),
        validation=dataset.conversations("validation"),
        digest=dataset.manifest.digest,
    )


def general_perplexity(job: Job, model: LanguageModel) -> float | None:
    """Return the perplexity of the general text that the recipe names; ``None`` when it names none.

    Raises:
        InputError: When the file is absent or holds no text.
    """
    import math

    from tunewright.data.chat.rows import ChatRow

    name = job.recipe.evaluation.generation.general_text
    if name is None:
        return None
    path = job.paths.root / name
    try:
        parts = path.read_text(encoding="utf-8").split("\n\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"can't be read ({getattr(error, 'strerror', None) or 'it is not UTF-8'})",
            place=str(path),
            mend="check evaluation.generation.general_text",
        ) from error
    rows = [ChatRow(kind="text", text=part.strip()) for part in parts if part.strip()]
    if not rows:
        raise InputError("holds no text", place=str(path), mend="give paragraphs, apart by blank lines")
    losses = model.text_losses(rows, batch_size=job.recipe.evaluation.generation.batch_size)
    return math.exp(sum(loss for loss, _ in losses) / sum(tokens for _, tokens in losses))
