"""The record of a sweep, for programs and on one page that needs no network and no script."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.evaluation.plots import standalone
from tunewright.pipeline.sweep_plots import sweep_plots
from tunewright.pipeline.trial_record import Facts, TrialRecord
from tunewright.support.files import write_json, write_text, writing_folder
from tunewright.support.pages import open_template

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = "report.html"
DATA = "report.json"


class SweepReport(Facts):
    """All that a sweep found, on validation rows."""

    name: str
    study: str
    """Its identity: space, fixed settings, data, base and seed."""
    project: str
    metric: str
    seed: int
    data_digest: str
    run_id: str
    space: dict[str, str]
    """In words, by field."""
    fixed: tuple[str, ...]
    trials: tuple[TrialRecord, ...]
    best: TrialRecord
    overrides: tuple[str, ...]
    """What makes the best trial's recipe out of the project's; like ``fixed``, without credentials."""
    importances: dict[str, float]

    @property
    def counts(self) -> dict[str, int]:
        """How many trials ended in each state."""
        states = [each.state for each in self.trials]
        return {state: states.count(state) for state in dict.fromkeys(states)}

    @property
    def headline(self) -> str:
        """What came of it, in a sentence."""
        counted = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        return (
            f"Trial {self.best.number} is the best of {len(self.trials)} ({counted}): "
            f"{self.metric.replace('_', ' ')} {self.best.value:.4f} on the validation rows."
        )


def write_sweep_report(report: SweepReport, folder: Path) -> None:
    """Write the page, the data and each plot into ``folder``, all or nothing."""
    plots = sweep_plots(report)
    with writing_folder(folder) as target:
        write_json(target / DATA, report.model_dump(mode="json"))
        write_text(target / PAGE, _render(report, plots))
        for name, plot in plots.items():
            write_text(target / f"{name}.svg", standalone(plot))


def _render(report: SweepReport, plots: Mapping[str, str]) -> str:
    from markupsafe import Markup

    from tunewright.evaluation.page import figure

    template = open_template("tunewright.pipeline", "sweep.html", figure=figure)
    return template.render(
        report=report,
        plots={name: Markup(plot) for name, plot in plots.items()},  # noqa: S704 - matplotlib escapes texts
    )
