"""Plots as small pieces of SVG that take their colours and fonts from the page around them."""

from __future__ import annotations

import io
import logging
import re
import warnings
from typing import TYPE_CHECKING, Any

from tunewright.evaluation.intervals import share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.figure import Figure

    from tunewright.data.selection import Histogram
    from tunewright.evaluation.calibration import Bin
    from tunewright.evaluation.intervals import Interval
    from tunewright.evaluation.report import ModelFigures

# matplotlib writes fixed colours; each of these stands for a colour of the page, so that a plot follows its
# light or dark theme.
COLOURS = {
    "#010101": "var(--ink)",
    "#020202": "var(--soft)",
    "#030303": "var(--line)",
    "#040404": "var(--one)",
    "#050505": "var(--two)",
}
INK, SOFT, LINE, ONE, TWO = COLOURS
LIGHT = dict(zip(COLOURS.values(), ("#1d2430", "#647084", "#e4e2dc", "#3b6ea5", "#c77a24"), strict=True))
"""The colours of a plot that stands alone, on white."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar sign in a label name is a dollar sign
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 1,
    "grid.color": LINE,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "lines.linewidth": 2,
    "legend.frameon": False,
    "savefig.transparent": True,
}
NARROW = (4.6, 3.0)
"""Inches; about the width of a phone, so that ten-point text stays readable there."""
FEWEST_POINTS = 2
"""One point is no curve."""
FAR = 0.25
"""Models further below would squeeze the others together."""
SIZES = re.compile(r' (?:width|height)="[\d.]+pt"')
"""The size in points, which would keep the plot from filling its column."""
UNUSED_ID = re.compile(
    r' id="(?:figure|axes|patch|line2d|text|xtick|ytick|legend|matplotlib\.axis|[A-Z]\w*)_\d+"'
)


def learning_curves(history: Sequence[Mapping[str, float]], metric: str) -> list[str]:
    """Draw loss, and the primary metric, against epochs; nothing with fewer than two points."""
    losses = {"train/loss": "training", "validation/loss": "validation"}
    metrics = {f"validation/{metric}": metric.replace("_", " "), "validation/accuracy": "accuracy"}
    drawn = [_curves(history, losses, "loss"), _curves(history, metrics, "validation")]
    return [plot for plot in drawn if plot]


def reliability_diagram(bins: Sequence[Bin]) -> str:
    """Draw accuracy, with a 95 % interval, against confidence; below it the share of rows in each bin."""
    used = [each for each in bins if each.rows]
    rows = sum(each.rows for each in used)

    def draw(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        upper.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (3, 3)))
        for each in used:
            found = share(round(each.accuracy * each.rows), each.rows, confidence=0.95)
            upper.plot([each.confidence] * 2, [found.low, found.high], color=ONE, linewidth=1)
        upper.plot(
            [each.confidence for each in used],
            [each.accuracy for each in used],
            color=ONE,
            marker="o",
            markersize=5,
            linewidth=0,
        )
        upper.set(xlim=(0, 1.01), ylim=(0, 1.03), ylabel="share right")
        upper.grid(axis="y")
        middles, shares = [(each.low + each.high) / 2 for each in used], [each.rows / rows for each in used]
        lower.bar(middles, shares, width=0.9 / len(bins), color=ONE)
        lower.set(xlabel="confidence", ylabel="rows", ylim=(0, 1), yticks=[])

    return svg("reliability", NARROW, draw)


def interval_plot(models: Sequence[ModelFigures], metric: str) -> str:
    """Draw each model's figure with its interval, one line a model; models far below the first are left out."""
    models = [each for each in models if getattr(each, metric).value > getattr(models[0], metric).value - FAR]
    intervals: list[Interval] = [getattr(model, metric) for model in models]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for position, found in enumerate(intervals):
            colour = TWO if position else ONE
            axes.plot([found.low, found.high], [position, position], color=colour, linewidth=2.5)
            axes.plot([found.value], [position], color=colour, marker="o", markersize=6)
        axes.set_yticks(range(len(models)), [model.name for model in models])
        axes.set(ylim=(len(models) - 0.5, -0.5), xlabel=metric.replace("_", " ").replace("f1", "F1"))
        low, high = min(each.low for each in intervals), max(each.high for each in intervals)
        room = max(0.01, 0.08 * (high - low))
        axes.set_xlim(max(-0.01, low - room), min(1.01, high + room))
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0)

    return svg(f"intervals {metric}", (NARROW[0], 0.75 + 0.36 * len(models)), draw)


def selection_histogram(histogram: Histogram) -> str:
    """Draw the shares of pool, chosen rows and control rows by uncertainty."""
    kinds = (
        ("pool", histogram.pool, SOFT),
        ("chosen", histogram.chosen, ONE),
        ("control", histogram.control, TWO),
    )
    shown = [(name, counts, colour) for name, counts, colour in kinds if sum(counts)]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, counts, colour in shown:
            shares, label = [count / sum(counts) for count in counts], f"{name}, {sum(counts):,} rows"
            if name == "pool":
                axes.stairs(shares, histogram.edges, color=colour, alpha=0.35, fill=True, label=label)
            else:
                dashes = "--" if name == "control" else "-"
                axes.stairs(shares, histogram.edges, color=colour, linewidth=2, linestyle=dashes, label=label)
        axes.set(xlim=(0, 1), xlabel="uncertainty", ylabel="share of rows")
        axes.grid(axis="y")
        axes.legend(labelcolor=INK)

    return svg("selection", NARROW, draw)


def _curves(history: Sequence[Mapping[str, float]], names: Mapping[str, str], title: str) -> str:
    """Draw named figures of the history against epochs."""
    known = {
        label: [(entry["epoch"], entry[name]) for entry in history if name in entry and "epoch" in entry]
        for name, label in names.items()
    }
    known = {label: points for label, points in known.items() if points}
    if max(map(len, known.values()), default=0) < FEWEST_POINTS:
        return ""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for colour, (label, points) in zip((ONE, TWO), known.items(), strict=False):
            axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4, label=label)
        axes.set(xlabel="epoch", ylabel=title)
        axes.locator_params(axis="x", integer=True)
        axes.grid(axis="y")
        axes.legend(labelcolor=INK)

    return svg(f"curves {title}", NARROW, draw)


def svg(name: str, inches: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    """Draw a figure and return it as an SVG element."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # Scripts that no font here can draw are left to the reader's browser: no need to warn.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    written = io.StringIO()
    # The salt makes the ids in the SVG the same on each run, and different between the plots of a page.
    with rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure(figsize=inches, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(written, format="svg", metadata=nothing)
    return _embedded(written.getvalue())


def standalone(plot: str) -> str:
    """Make a plot of a page a file of its own: fixed colours, white ground."""
    for variable, colour in LIGHT.items():
        plot = plot.replace(variable, colour)
    return plot.replace("<svg ", '<svg style="background:#fff" ', 1)


def _embedded(svg: str) -> str:
    """Cut an SVG file down to an element of a page."""
    svg = svg[svg.index("<svg") :]
    for fixed, variable in COLOURS.items():
        svg = svg.replace(fixed, variable)
    svg = SIZES.sub("", svg, count=2)
    return re.sub(r"\s*\n\s*", "\n", UNUSED_ID.sub("", svg))
