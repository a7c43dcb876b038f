"""The report as one HTML page that needs no network and no script, readable on paper and on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.evaluation.graph import draw
from tunewright.evaluation.plots import interval_plot, learning_curves, reliability_diagram
from tunewright.support.errors import TunewrightError
from tunewright.support.files import write_json, write_text
from tunewright.support.pages import open_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from tunewright.evaluation.report import Report

LEAST_MILLISECONDS = 0.01
MOST_ROWS_PER_SECOND = 1_000_000
PAGE = "report.html"
DATA = "report.json"
MATRIX_LABELS = 16
"""Largest number of labels whose confusion matrix is shown whole; with more, only the pairs that occur most."""


def write_report(report: Report, folder: Path) -> Path:
    """Write ``report.html`` and ``report.json``; return the page's path.

    Raises:
        TunewrightError: When the folder can't be written.
    """
    return write_page(folder, report, render(report))


def write_page(folder: Path, report: BaseModel, page: str) -> Path:
    """Write any report as ``report.json`` and its page as ``report.html``; return the page's path.

    Raises:
        TunewrightError: When the folder can't be written.
    """
    try:
        write_json(folder / DATA, report.model_dump(mode="json"))
        write_text(folder / PAGE, page)
    except OSError as error:
        raise TunewrightError(
            f"can't be written ({error.strerror or error})",
            place=str(folder),
            mend="free some space or give yourself the right to write there",
        ) from error
    return folder / PAGE


def render(report: Report) -> str:
    """Return the page."""
    from markupsafe import Markup, escape

    template = open_template(
        "tunewright.evaluation",
        "page.html",
        percent=percent,
        points=points,
        size=size,
        milliseconds=milliseconds,
        throughput=throughput,
        words=words,
        breakable=lambda name: Markup("_<wbr>").join(escape(part) for part in name.split("_")),
    )
    subject = report.models[0]
    return template.render(
        report=report,
        subject=subject,
        rival=next((model for model in report.models if model.name == report.conclusion.baseline), None),
        labels=_labels_in_order(report),
        whole_matrix=len(report.label_names) <= MATRIX_LABELS,
        curves=[Markup(plot) for plot in learning_curves(report.history, report.primary_metric)],  # noqa: S704
        reliability=Markup(reliability_diagram(report.calibration)),  # noqa: S704 - matplotlib escapes texts
        intervals=[Markup(interval_plot(report.models, name)) for name in ("accuracy", "f1_macro")],  # noqa: S704
        lineage=Markup(draw(report.lineage)) if report.lineage else None,  # noqa: S704 - draw escapes texts
        provenance=flat(report.figures.get("provenance") or {}),
        blocks=_blocks(report.figures),
        settings=flat(report.recipe),
    )


def percent(share: float, digits: int = 1) -> str:
    """Write a share in percent."""
    return f"{100 * share:.{digits}f} %"


def points(difference: float) -> str:
    """Write a difference of shares in points of a hundred, with its sign."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def milliseconds(count: float) -> str:
    """Write milliseconds with three digits."""
    return f"{count:.3g}" if count >= LEAST_MILLISECONDS else f"< {LEAST_MILLISECONDS:g}"


def throughput(count: float) -> str:
    """Write rows a second; a model that does nothing is as fast as the clock."""
    return f"{count:,.0f}" if count < MOST_ROWS_PER_SECOND else f"> {MOST_ROWS_PER_SECOND:,}"


def size(count: float | None) -> str:
    """Write a number of bytes."""
    if count is None:
        return "–"
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(count) >= limit:
            return f"{count / limit:,.3g} {unit}"
    return f"{count:.0f} B"


def words(name: str) -> str:
    """Write a field's name as words."""
    return name.replace("_", " ").replace(".", " · ").replace("/", " · ")


def figure(value: object, name: str = "") -> str:
    """Write a value for a person, with the unit that its name tells."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if name.endswith("bytes"):
            return size(value)
        if name.endswith(("share", "error")):
            return percent(value)
        written = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
        return f"{written} s" if name.endswith("seconds") else written
    return str(value)


def _labels_in_order(report: Report) -> list[str]:
    """Return label names as they are when they are few, else the worst first."""
    names = list(report.label_names)
    if len(names) > MATRIX_LABELS:
        names.sort(key=lambda name: (report.models[0].metrics.f1[name], name))
    return names


def _blocks(figures: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Sort figures into titled lists: the forecast beside what happened, and the training itself."""
    rest = {name: value for name, value in figures.items() if name not in {"provenance", "forecast"}}
    titled = (
        ("Forecast and outcome", figures.get("forecast")),
        ("Training", rest),
    )
    return [(title, flat(values)) for title, values in titled if values]


def flat(values: object, prefix: str = "") -> list[tuple[str, str]]:
    """Write nested mappings as pairs of a dotted name and a value for a person."""
    if not isinstance(values, dict):
        shown = ", ".join(map(str, values)) if isinstance(values, list) else figure(values, prefix)
        return [(prefix, shown)]
    return [
        pair
        for name, value in values.items()
        for pair in flat(value, f"{prefix}.{name}" if prefix else str(name))
    ]
