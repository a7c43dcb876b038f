"""The plots of a sweep: how it went, which fields mattered, and all trials side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tunewright.evaluation.plots import INK, NARROW, ONE, SOFT, TWO, svg
from tunewright.pipeline.search_space import written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tunewright.pipeline.sweep_report import SweepReport
    from tunewright.pipeline.trial_record import TrialRecord, Value

WIDE = (9.4, 3.6)
FEWEST_FIELDS = 2
"""Fewer than this have no shares to compare."""
LOG_SPAN = 30.0
MARKERS = {"complete": "o", "pruned": "x"}


def sweep_plots(report: SweepReport) -> dict[str, str]:
    """Return SVG elements by name; those that would show nothing are left out."""
    plots = {"history": history(report), "parallel_coordinates": parallel_coordinates(report)}
    if len(report.importances) >= FEWEST_FIELDS:
        plots["importance"] = importance(report)
    return plots


def history(report: SweepReport) -> str:
    """Draw each trial's value in their order, and the best so far."""
    ended = _ended(report)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for state, marker in MARKERS.items():
            points = [(each.number, each.value) for each in ended if each.state == state]
            if points:
                colour = ONE if state == "complete" else SOFT
                axes.plot(
                    *zip(*points, strict=True),
                    color=colour,
                    marker=marker,
                    markersize=5,
                    linewidth=0,
                    label=state,
                )
        best, so_far = -math.inf, []
        for each in ended:
            if each.state == "complete":
                best = max(best, each.value or 0.0)
            so_far.append((each.number, best if math.isfinite(best) else math.nan))
        axes.step(*zip(*so_far, strict=True), where="post", color=TWO, linewidth=1.5, label="best so far")
        axes.set(xlabel="trial", ylabel=_metric(report))
        axes.locator_params(axis="x", integer=True)
        axes.grid(axis="y")
        axes.legend(labelcolor=INK)

    return svg("sweep history", NARROW, draw)


def importance(report: SweepReport) -> str:
    """Draw the share of each field, the largest on top."""
    shares = sorted(report.importances.items(), key=lambda item: item[1])

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.barh([name for name, _ in shares], [share for _, share in shares], color=ONE, height=0.6)
        axes.set(xlabel="share of importance", xlim=(0, 1))
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0)

    return svg("sweep importance", (NARROW[0], 1.0 + 0.36 * len(shares)), draw)


def parallel_coordinates(report: SweepReport) -> str:
    """Draw every trial as a line across one axis a field, and the metric as the last; the best stands out."""
    ended = _ended(report)
    names = list(report.space)
    columns = [_Axis([each.values.get(name) for each in ended]) for name in names]
    columns.append(_Axis([each.value for each in ended]))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for row, each in sorted(enumerate(ended), key=lambda item: item[1].number == report.best.number):
            heights = [column.heights[row] for column in columns]
            is_best = each.number == report.best.number
            shade = 0.15 + 0.7 * columns[-1].heights[row]
            axes.plot(
                range(len(columns)),
                heights,
                color=TWO if is_best else ONE,
                linewidth=2.5 if is_best else 1.2,
                alpha=1.0 if is_best else shade,
                linestyle="--" if each.state == "pruned" else "-",
            )
        for position, column in enumerate(columns):
            column.label(axes, position)
        axes.set_xticks(range(len(columns)), [*names, _metric(report)])
        axes.set(ylim=(-0.06, 1.06), xlim=(-0.1, len(columns) - 0.75), yticks=[])
        for side in axes.spines.values():
            side.set_visible(False)
        axes.tick_params(length=0)
        axes.grid(axis="x")

    return svg("sweep coordinates", WIDE, draw)


class _Axis:
    """Values on an axis from 0 to 1, with the words beside it."""

    def __init__(self, values: list[Value]) -> None:
        numbers = [
            value for value in values if isinstance(value, int | float) and not isinstance(value, bool)
        ]
        self.heights: list[float] = []
        self.words: dict[float, str] = {}
        if len(numbers) == len(values):
            self._numeric(numbers)
        else:
            self._categories([written(value) for value in values])

    def label(self, axes: Axes, position: int) -> None:
        """Write the axis's words beside it."""
        for height, word in self.words.items():
            axes.text(position + 0.03, height, word, fontsize=8, color=SOFT, va="center")

    def _numeric(self, numbers: list[int | float]) -> None:
        low, high = min(numbers), max(numbers)
        log = low > 0 and high / low >= LOG_SPAN
        scaled = [math.log(each) if log else float(each) for each in numbers]
        bottom, width = min(scaled), max(scaled) - min(scaled)
        self.heights = [(each - bottom) / width if width else 0.5 for each in scaled]
        self.words = {0.0: f"{low:.3g}", 1.0: f"{high:.3g}"} if width else {0.5: f"{low:.3g}"}

    def _categories(self, words: list[str]) -> None:
        known = sorted(set(words))
        places = {word: place / max(1, len(known) - 1) for place, word in enumerate(known)}
        self.heights = [places[word] for word in words]
        self.words = {height: word for word, height in places.items()}


def _ended(report: SweepReport) -> list[TrialRecord]:
    return [each for each in report.trials if each.state in MARKERS and each.value is not None]


def _metric(report: SweepReport) -> str:
    return report.metric.replace("_", " ").replace("f1", "F1")
