"""The report on language models as one HTML page that needs no network and no script."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.evaluation.graph import draw
from tunewright.evaluation.language import wording
from tunewright.evaluation.language.figures import METRICS, MetricName
from tunewright.evaluation.page import flat, size, words, write_page
from tunewright.support.console import say
from tunewright.support.pages import open_template

if TYPE_CHECKING:
    from tunewright.evaluation.language.harness import TaskFigure
    from tunewright.evaluation.language.report import LanguageReport

TABLE: tuple[MetricName, ...] = (
    "exact_match", "token_f1", "rouge_l", "rouge_1", "rouge_2", "bleu", "chrf", "valid", "preferred",
    "perplexity", "repetition", "unfinished", "empty", "refusal",
)  # fmt: skip
"""Figures in the order of the page; those that apply to no row are left out."""
SURE = 0.0001
"""A p value below is not worth its digits."""


def write_report(report: LanguageReport, folder: Path) -> Path:
    """Write ``report.html`` and ``report.json``, say the headline, and return the page's path.

    Raises:
        TunewrightError: When the folder can't be written.
    """
    path = write_page(folder, report, render(report))
    say(report.headline)
    return path


def render(report: LanguageReport) -> str:
    """Return the page."""
    from markupsafe import Markup

    template = open_template(
        "tunewright.evaluation.language",
        "page.html",
        written=wording.written,
        change=wording.change,
        chance=lambda p: f"< {SURE:g}" if p < SURE else f"{p:.2g}",
        size=size,
        words=words,
    )
    found = report.models[0].intervals
    return template.render(
        report=report,
        METRICS=METRICS,
        table=[name for name in TABLE if name in found],
        against={one.b: one for one in report.comparisons},
        tasks=_tasks(report.harness),
        lineage=Markup(draw(report.lineage)) if report.lineage else None,  # noqa: S704 - draw escapes texts
        provenance=flat(report.figures.get("provenance") or {}),
        training=flat({name: value for name, value in report.figures.items() if name != "provenance"}),
        settings=flat(report.settings),
        lists=_lists(report),
    )


def _lists(report: LanguageReport) -> list[tuple[str, str, object]]:
    """Name the rows to read."""
    examples, subject, rival = report.examples, report.subject, report.rival
    title = METRICS[report.slice_metric].title
    named = (
        (f"Where {subject} is worst", f"By {title}, the worst first.", examples.worst),
        (f"Where {subject} lost most", f"Rows that {rival} answers better.", examples.lost),
        (
            f"Where {subject} gained most",
            f"Rows that {subject} answers better than {rival}.",
            examples.gained,
        ),
    )
    return [each for each in named if each[2]]


def _tasks(figures: tuple[TaskFigure, ...]) -> list[tuple[str, str, dict[str, TaskFigure]]]:
    """Put figures of the same task beside each other: task, metric, figure by model."""
    lines: dict[tuple[str, str], dict[str, TaskFigure]] = {}
    for one in figures:
        lines.setdefault((one.task, one.metric), {})[one.model] = one
    return [(task, metric, by_model) for (task, metric), by_model in lines.items()]
