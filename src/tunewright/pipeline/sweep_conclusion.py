"""How a sweep ends: the best recipe is written down, and the pipeline takes the best trial's training over."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.pipeline.pointers import CANDIDATE, logged_in
from tunewright.pipeline.sweep_recipe import others, overruled, write_option
from tunewright.pipeline.sweep_report import PAGE, SweepReport
from tunewright.pipeline.trial import CHECKPOINTS
from tunewright.pipeline.trials import trial_folder
from tunewright.support.console import say
from tunewright.support.files import read_json

if TYPE_CHECKING:
    from tunewright.pipeline.search import Search
    from tunewright.pipeline.study import Study
    from tunewright.pipeline.summary import Outcome
    from tunewright.support.paths import ProjectPaths

MODEL = "model"
"""Of a study: the model that came of it."""


@dataclass(frozen=True, slots=True)
class SweepOutcome:
    """What a sweep found, and what came of the pipeline with the best recipe."""

    report: SweepReport
    page: Path
    option: Path | None
    """The best recipe as an option of the project; ``None`` where a file of the user's stands."""
    run: Outcome
    reused: bool
    """The pipeline took the best trial's weights instead of training them again."""
    again: tuple[str, ...]
    """The overrides with which ``tunewright run`` does the same."""

    def as_json(self) -> dict[str, Any]:
        """Return the facts under the names that programs rely on."""
        return {
            "name": self.report.name,
            "study": self.report.study,
            "run_id": self.report.run_id,
            "metric": self.report.metric,
            "trials": [each.model_dump(mode="json") for each in self.report.trials],
            "best": self.report.best.number,
            "overrides": list(self.report.overrides),
            "option": str(self.option) if self.option else None,
            "page": str(self.page),
            "reused": self.reused,
            "run": self.run.as_json(),
        }


def conclude(search: Search, report: SweepReport, option: Path) -> SweepOutcome:
    """Write the best recipe down, and run the pipeline with it."""
    project = search.project
    words = search.overrides(report.best.values)
    recipe = project.compose(words)
    say(report.headline)
    is_ours = write_option(option, recipe, search.space)
    keys = overruled(option, recipe, search.space, project.paths.configs) if is_ours else []
    if keys:
        say(f"configs/config.yaml sets {', '.join(keys)}, which wins over training={option.stem}")
    handed = _handed_over(search, report)
    run = project.run(words)
    reused = _was_taken(project.paths, report)
    if not reused:
        say("the best recipe was trained anew: what its trial had begun with has changed since")
    shutil.rmtree(handed, ignore_errors=True)
    return SweepOutcome(
        report=report,
        page=search.page_folder / PAGE,
        option=option if is_ours else None,
        run=run,
        reused=reused,
        again=(f"training={option.stem}", *others(search.space))
        if is_ours and not keys
        else report.overrides,
    )


def _handed_over(search: Search, report: SweepReport) -> Path:
    """Put the best trial's finished training where the pipeline's own would lie if it had been killed at its end."""
    identity = report.best.result.identity if report.best.result else ""
    target = search.project.paths.checkpoints / identity
    source = trial_folder(search.folder, report.best.number) / CHECKPOINTS / identity
    if source.is_dir() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
    return target


def _was_taken(paths: ProjectPaths, report: SweepReport) -> bool:
    """Tell whether the candidate has the best trial's weights and wasn't trained from its first step."""
    pointer = read_json(paths.models / CANDIDATE)
    result = report.best.result
    return (
        result is not None
        and pointer["logged"]["digest"] == result.digest
        and pointer["figures"]["resumed_from_step"] == result.steps
    )


def tie(search: Search, study: Study, outcome: SweepOutcome) -> None:
    """Let the sweep's run name the model that came of it, and the training's run the sweep; once."""
    logged = logged_in(search.project.paths, CANDIDATE)
    if study.recall(MODEL) == logged.uri:
        return
    from tunewright.registry.tracking import connect
    from tunewright.registry.trials import tag

    tracking, report = connect(search.recipe, search.project.paths), outcome.report
    tag(tracking, logged.run_id, {"sweep_run": report.run_id, "sweep_trial": report.best.number})
    came_of_it = {"model": logged.uri, "model_version": outcome.run.version, "train_run": logged.run_id}
    tag(tracking, report.run_id, came_of_it)
    study.remember(MODEL, logged.uri)
