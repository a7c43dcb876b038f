"""``tunewright optimize``: the engine for a registered version, chosen by measurement on the project's frozen rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.engines.interface import Form
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.data.chat.rows import ChatRow
    from tunewright.engines.interface import Task
    from tunewright.engines.report import EngineReport
    from tunewright.engines.tried import Goal, Tried, Unit
    from tunewright.evaluation.language.figures import MetricName
    from tunewright.pipeline.project import Project
    from tunewright.registry.executions import Execution
    from tunewright.registry.references import Version
    from tunewright.registry.tracking import Tracking

STEP = "optimize"
CACHE = "engines"
MIB = 1 << 20
OUTPUT_METRICS: tuple[MetricName, ...] = ("exact_match", "token_f1", "rouge_l", "rouge_1", "rouge_2", "valid")
"""Shares that answers alone tell; a recipe with another primary metric takes the second of them here."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of an optimisation."""

    goal: Goal
    max_accuracy_loss: float
    """What a copy may lose on the test rows, between 0 and 1."""
    forms: tuple[Form, ...] = ()
    """Engines and precisions to try; empty takes all that are installed."""
    threads: int | None = None
    """Processor threads for each; None takes the cores that are free."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured, whatever the kind of model."""

    tried: tuple[Tried, ...]
    unit: Unit
    metric: str
    quality: float | None
    """The model's own."""
    rows: int
    prompt_tokens: float
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and on what an optimisation runs."""

    project: Project
    tracking: Tracking
    version: Version
    wish: Wish
    forms: tuple[Form, ...]
    threads: int
    tell: Callable[[Tried], None]

    @property
    def cache(self) -> Path:
        """Folder of all copies."""
        return self.project.paths.state / "cache" / CACHE


def optimize_version(
    project: Project, reference: str, wish: Wish, tell: Callable[[Tried], None] = lambda _: None
) -> EngineReport:
    """Convert a registered model for every engine here, prove the copies, time them and register the best.

    Args:
        project: Holds the frozen test rows and the store.
        reference: ``NAME[@alias|/version]``; empty takes the champion.
        wish: What is asked.
        tell: Called with each result as it comes.

    Raises:
        InputError: When the reference names no model, or there is no data set.
        TunewrightError: When no engine gives the model's answers.
    """
    from tunewright.engines.registering import attach
    from tunewright.engines.tried import choose
    from tunewright.registry.executions import execution
    from tunewright.registry.language_models import is_language_model
    from tunewright.registry.references import find_version
    from tunewright.registry.tracking import connect
    from tunewright.training.hardware import free_cores

    tracking = connect(project.last_recipe(), project.paths)
    version = find_version(tracking, reference)
    is_language = is_language_model(tracking, version.reference)
    forms = _forms("generation" if is_language else "classification", wish.forms)
    setting = Setting(project, tracking, version, wish, forms, wish.threads or free_cores()[0], tell)
    with execution(tracking, STEP, tags={"model": version.reference}) as run:
        found = _language_model(setting) if is_language else _classifier(setting)
        best = choose(found.tried, wish.goal)
        report = _report(setting, found, best.form)
        _record(run, report, project.paths.reports / STEP)
        if best.folder is not None:
            attach(tracking, version, best.folder, best.form, report.headline)
    return report


def _forms(task: Task, asked: Sequence[Form]) -> tuple[Form, ...]:
    """Return what is tried: the reference first, then what was asked for, else all that is installed."""
    from tunewright.engines.catalogue import REFERENCE, forms

    plain = Form(REFERENCE, "fp32")
    return (plain, *(form for form in asked or forms(task) if form != plain))


def _classifier(setting: Setting) -> Found:
    """Let every form classify the frozen test rows."""
    from tunewright.engines.optimizing import CALIBRATION_ROWS, optimize
    from tunewright.registry.models import load, load_certificate

    reference = setting.version.reference
    classifier = load(setting.tracking, reference)
    dataset = setting.project.dataset()
    if dataset.holds_conversations or tuple(classifier.label_names) != tuple(dataset.label_names):
        raise InputError(
            "was trained on other labels than the project's data has",
            place=reference,
            mend="take a version that was trained on this data",
        )
    test = dataset.examples("test")
    tried = optimize(
        classifier,
        load_certificate(setting.tracking, reference),
        setting.forms,
        setting.cache,
        texts=test.texts,
        truth=test.labels,
        calibration=dataset.examples("train").texts[:CALIBRATION_ROWS],
        max_accuracy_loss=setting.wish.max_accuracy_loss,
        threads=setting.threads,
        tell=setting.tell,
    )
    lengths = [len(ids) for ids in classifier.encode(test.texts)]
    mean = sum(lengths) / len(lengths)
    return Found(tuple(tried), "texts", "accuracy", tried[0].quality, len(lengths), mean)


def _language_model(setting: Setting) -> Found:
    """Let every form answer frozen test rows."""
    from tunewright.engines.language_optimizing import NEW_TOKENS, TEST_ROWS, Exam, optimize_language
    from tunewright.evaluation.language.asking import evenly, question_and_answer
    from tunewright.registry.language_models import load_language_certificate, load_language_model

    reference, recipe = setting.version.reference, setting.project.last_recipe()
    model = load_language_model(setting.tracking, reference)
    known = [
        row
        for row in setting.project.dataset().conversations("test")
        if row.kind != "text" and question_and_answer(row)
    ]
    rows = tuple(known[at] for at in evenly(len(known), TEST_ROWS))
    if not rows:
        raise InputError(
            "no test row has both a prompt and an answer",
            place=reference,
            mend="optimise a model that was tuned to answer, not one that was trained on plain text",
        )
    metric, mark = _marking(setting.project, recipe, rows)
    tried, quality = optimize_language(
        model,
        load_language_certificate(setting.tracking, reference),
        setting.forms,
        setting.cache,
        exam=Exam(rows, mark, recipe.evaluation.generation.max_new_tokens),
        max_loss=setting.wish.max_accuracy_loss,
        bound=recipe.registry.certificate_bound,
        threads=setting.threads,
        tell=setting.tell,
    )
    lengths = [len(model.prompt(row).ids) for row in rows]
    return Found(tuple(tried), "tokens", metric, quality, len(rows), sum(lengths) / len(lengths), NEW_TOKENS)


def _marking(
    project: Project, recipe: Recipe, rows: Sequence[ChatRow]
) -> tuple[str, Callable[[Sequence[str]], float]]:
    """Return the recipe's figure of answers, and what takes it; token F1 where the recipe's needs likelihoods."""
    from tunewright.evaluation.language.answers import Answer, Answers
    from tunewright.evaluation.language.asking import question_and_answer
    from tunewright.evaluation.language.figures import score_rows
    from tunewright.evaluation.language.rules import rules

    wanted = recipe.evaluation.generation.primary_metric
    metric: MetricName = next((name for name in OUTPUT_METRICS if name == wanted), "token_f1")
    asked = rules(recipe.evaluation.generation, folder=project.paths.root)
    pairs = [question_and_answer(row) or ("", "") for row in rows]

    def mark(texts: Sequence[str]) -> float:
        answers = tuple(
            Answer(
                row=at,
                source="",
                prompt=prompt,
                reference=reference,
                output=text,
                tokens=1,
                finished=True,
                reference_loss=0.0,
                reference_tokens=1,
            )
            for at, ((prompt, reference), text) in enumerate(zip(pairs, texts, strict=True), start=1)
        )
        return float(score_rows(Answers("copy", "tuned", answers), asked).figure(metric) or 0.0)

    return metric, mark


def _report(setting: Setting, found: Found, chosen: Form) -> EngineReport:
    """Put together what was found, with machine and versions."""
    from tunewright.engines.catalogue import engine, package_versions
    from tunewright.engines.report import EngineReport
    from tunewright.support.machine import describe_machine

    names = dict.fromkeys(form.engine for form in setting.forms)
    packages = [package_versions(engine(name)) for name in names]
    return EngineReport(
        model=setting.version.reference,
        goal=setting.wish.goal,
        max_accuracy_loss=setting.wish.max_accuracy_loss,
        rows=found.rows,
        unit=found.unit,
        metric=found.metric,
        prompt_tokens=found.prompt_tokens,
        output_tokens=found.output_tokens,
        threads=setting.threads,
        machine=describe_machine(),
        packages={name: number for each in packages for name, number in each.items()},
        reference_quality=found.quality,
        tried=found.tried,
        chosen=chosen,
    )


def _record(run: Execution, report: EngineReport, folder: Path) -> None:
    """Keep the report in the project and with the run, figures by form."""
    from tunewright.engines.report import write_engine_report

    write_engine_report(report, folder)
    run.artifact(folder, "report")
    run.params(
        {
            "goal": report.goal,
            "max_accuracy_loss": report.max_accuracy_loss,
            "threads": report.threads,
            "rows": report.rows,
            "prompt_tokens": round(report.prompt_tokens, 1),
            "output_tokens": report.output_tokens,
            "chosen": str(report.chosen),
            "machine": asdict(report.machine),
            "packages": {name.replace("-", "_"): number for name, number in report.packages.items()},
        }
    )
    for one in report.tried:
        figures: dict[str, float | None] = {"passes": float(one.passes)}
        if one.measured and one.judgement:
            figures |= {
                f"{report.unit}_per_second": one.speed,
                f"{report.unit}_per_cpu_second": one.cpu_speed,
                "latency_ms": one.latency_ms,
                "memory_mib": one.measured.memory_mib,
                "load_seconds": one.measured.load_seconds,
                "size_mib": one.size_bytes / MIB,
                "kept": one.kept,
                report.metric: one.quality,
            }
        name = f"{one.form.engine}-{one.form.precision}"
        run.metrics({f"{kpi}/{name}": value for kpi, value in figures.items() if value is not None}, step=0)
