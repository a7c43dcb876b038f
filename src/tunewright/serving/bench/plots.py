"""Plots of a run: latency over time, and the percentiles up to the last request."""

from __future__ import annotations

import html
import io
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.serving.bench.samples import OK, REJECTED
from tunewright.support.errors import InputError
from tunewright.support.files import write_text, writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tunewright.serving.bench.benching import Run

MOST_POINTS = 20_000
"""Dots in the plot over time; more make one blot. The slowest are always among them."""
SIZE = (11, 4.2)
SUFFIXES = (".png", ".svg", ".html")
PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>{plot}</html>\n'


def check_suffix(path: Path) -> None:
    """Refuse a file that can't be drawn to.

    Raises:
        InputError: Naming the suffixes that can.
    """
    if path.suffix not in SUFFIXES:
        raise InputError("can't be drawn to", place=str(path), mend=f"end it in {', '.join(SUFFIXES)}")


def draw(run: Run, path: Path, *, title: str) -> None:
    """Draw a run to a file, whose suffix says how.

    Args:
        run: What was measured.
        path: ``.png``, ``.svg`` or ``.html``.
        title: What stands above it.
    """
    check_suffix(path)
    figure = _figure(run, title)
    if path.suffix == ".png":
        with writing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=120)
        return
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg")
    svg = drawn.getvalue()
    inner = svg[svg.index("<svg") :]
    write_text(path, svg if path.suffix == ".svg" else PAGE.format(title=html.escape(title), plot=inner))


def _figure(run: Run, title: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    over_time, tail = figure.subplots(1, 2, width_ratios=(3, 2))
    figure.suptitle(title.replace("$", r"\$"))
    _draw_over_time(over_time, run)
    _draw_tail(tail, run)
    return figure


def _draw_over_time(axes: Axes, run: Run) -> None:
    import numpy as np

    outcome = run.samples.column("outcome")
    scheduled = run.samples.column("scheduled") - run.profile.warm_up_s
    latency = (run.samples.column("ended") - run.samples.column("scheduled")) * 1e3
    groups = (
        ("answered", outcome == OK, "#2b6cb0"),
        ("429", outcome == REJECTED, "#b7791f"),
        ("error", (outcome != OK) & (outcome != REJECTED), "#c53030"),
    )
    for name, here, colour in groups:
        slowest_last = np.argsort(latency[here])
        shown = slowest_last[:: max(1, len(slowest_last) // MOST_POINTS)]
        shown = np.union1d(shown, slowest_last[-100:])
        if len(shown):
            axes.plot(
                scheduled[here][shown], latency[here][shown], ".", ms=2.5, alpha=0.5, color=colour, label=name
            )
    axes.set_yscale("log")
    axes.set(xlabel="seconds, at the scheduled arrival", ylabel="latency, ms")
    axes.grid(visible=True, alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(markerscale=4)


def _draw_tail(axes: Axes, run: Run) -> None:
    """Draw latency over the share of requests that waited longer, from all to one."""
    import numpy as np

    ok = run.samples.column("outcome") == OK
    latency = np.sort((run.samples.column("ended") - run.samples.column("scheduled"))[ok]) * 1e3
    if len(latency):
        longer = 1 - np.arange(len(latency)) / len(latency)
        axes.plot(longer, latency, color="#2b6cb0")
    if run.profile.p99_ms is not None:
        axes.axhline(run.profile.p99_ms, color="#c53030", ls="--", lw=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.invert_xaxis()
    axes.set_xticks([1, 0.5, 0.1, 0.01, 0.001], ["all", "p50", "p90", "p99", "p99.9"])
    axes.set(xlabel="percentile of the answers", ylabel="latency, ms")
    axes.grid(visible=True, alpha=0.3)
