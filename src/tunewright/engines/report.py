"""What one optimisation found: for programs, on a page, and as a plot of what may be had for what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from tunewright.engines.interface import Form  # noqa: TC001 -- pydantic reads the annotations
from tunewright.engines.tried import Goal, Tried, Unit  # noqa: TC001 -- pydantic reads the annotations
from tunewright.support.files import write_json, write_text, writing_folder
from tunewright.support.machine import Machine  # noqa: TC001 -- pydantic reads the annotations
from tunewright.support.pages import open_template

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE, DATA, PLOT = "report.html", "report.json", "frontier.svg"
MIB = 1 << 20


class EngineReport(BaseModel):
    """All that an optimisation found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """``NAME/3``."""
    goal: Goal
    max_accuracy_loss: float
    rows: int
    """Frozen test rows that each form answered."""
    unit: Unit
    """What is counted: texts that are classified, or tokens that are written."""
    metric: str
    """What quality is on the test rows, such as accuracy."""
    prompt_tokens: float
    """Of a test row, on average."""
    output_tokens: int
    """Of each timed answer; 0 for a classifier."""
    threads: int
    machine: Machine
    packages: dict[str, str]
    """Versions of the libraries that converted and ran them."""
    reference_quality: float | None
    """The model's own."""
    tried: tuple[Tried, ...]
    chosen: Form

    @property
    def best(self) -> Tried:
        """What became of the chosen form."""
        return next(one for one in self.tried if one.form == self.chosen)

    def frontier(self) -> tuple[Form, ...]:
        """Return the forms that no other beats in throughput, latency and size at once."""
        usable = [one for one in self.tried if one.passes and one.measured]
        return tuple(one.form for one in usable if not any(_beats(other, one) for other in usable))

    @property
    def headline(self) -> str:
        """What came of it, in a sentence."""
        best, reference = self.best, self.tried[0]
        times = f" ({best.speed / reference.speed:.1f} times {reference.form})" if reference.speed else ""
        latency = "p95" if self.unit == "texts" else "a token of one request alone"
        return (
            f"{self.chosen} is chosen for {self.goal}: {best.speed:,.0f} {self.unit} a second{times},"
            f" {latency} {best.latency_ms:.1f} ms, {best.size_bytes / MIB:,.0f} MiB."
        )


def write_engine_report(report: EngineReport, folder: Path) -> None:
    """Write page, data and plot into ``folder``, all or nothing."""
    from markupsafe import Markup

    from tunewright.evaluation.page import figure
    from tunewright.evaluation.plots import standalone

    plot = frontier_plot(report)
    template = open_template("tunewright.engines", "report.html", figure=figure)
    with writing_folder(folder) as target:
        write_json(target / DATA, report.model_dump(mode="json"))
        page = template.render(report=report, plot=Markup(plot), mib=MIB, frontier=report.frontier())  # noqa: S704
        write_text(target / PAGE, page)
        write_text(target / PLOT, standalone(plot))


def frontier_plot(report: EngineReport) -> str:
    """Draw throughput over size on disk, the frontier joined; an SVG element."""
    from tunewright.evaluation.plots import INK, ONE, SOFT, TWO, svg

    usable = [one for one in report.tried if one.measured and one.passes]
    frontier = report.frontier()

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for one in usable:
            colour = TWO if one.form == report.chosen else ONE if one.form in frontier else SOFT
            place = (one.size_bytes / MIB, one.speed)
            axes.plot(*place, "o", color=colour, markersize=7)
            axes.annotate(str(one.form), place, (6, 4), textcoords="offset points", color=INK)
        axes.set_xlabel("size on disk, MiB")
        axes.set_ylabel(f"{report.unit} a second")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.margins(x=0.25)

    return svg("frontier", (7.4, 3.8), draw)


def _beats(one: Tried, other: Tried) -> bool:
    """Tell whether one form is at least as good in everything and better in something."""
    pairs = (
        (one.speed, other.speed),
        (-one.latency_ms, -other.latency_ms),
        (-one.size_bytes, -other.size_bytes),
    )
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)
