"""A sweep: trials over a space of recipes from the untouched base, then the pipeline with the best of them.

Trials see training and validation rows alone. The best one's finished training is handed to the pipeline, whose
training step takes it up as if it had been killed at its end: evaluated once on the test rows, registered, gated.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from tunewright.pipeline.pointers import BASE, logged_in
from tunewright.pipeline.search import Search, SweepSettings, digests_of_bases, identified
from tunewright.pipeline.sweep_conclusion import SweepOutcome, conclude, tie
from tunewright.pipeline.sweep_recipe import option_file
from tunewright.pipeline.sweep_report import DATA, SweepReport, write_sweep_report
from tunewright.pipeline.sweep_words import read_space
from tunewright.pipeline.trial_record import TrialTask
from tunewright.pipeline.trials import Trials
from tunewright.support.console import say
from tunewright.support.errors import MissingExtraError
from tunewright.support.files import read_json
from tunewright.support.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from optuna.trial import Trial

    from tunewright.pipeline.project import Project
    from tunewright.pipeline.study import Study
    from tunewright.registry.executions import Execution
    from tunewright.registry.logged import LoggedModel


def sweep(project: Project, words: Sequence[str], settings: SweepSettings | None = None) -> SweepOutcome:
    """Search for the best recipe, and run the pipeline with it.

    The same call goes on with a sweep that was killed, or adds trials where more are asked for; with nothing left to
    do it runs no trial.

    Args:
        project: The project.
        words: Overrides; those in Hydra's sweep syntax span the space, the others hold for all trials.
        settings: How to search.

    Raises:
        InputError: When the space makes no sense, or a step of the pipeline refuses its input.
        MissingExtraError: When Optuna isn't installed.
        TunewrightError: When trials fail for a reason that isn't theirs, or a step of the pipeline does.
    """
    settings = settings or SweepSettings()
    _require_optuna()
    option = option_file(project.paths.configs, settings.name)
    metric = [f"evaluation.primary_metric={settings.metric}"] if settings.metric else []
    space = read_space([*words, *metric], project.paths.configs)
    bases = digests_of_bases(space.check(project.paths.configs), project.paths)
    with locked(project.paths.state / "locks" / "sweep.lock", what="the sweep of this project"):
        project.run_until("split", space.fixed)
        search = identified(project, space, settings, bases)
        study = _open(search)
        report = _last_report(search, study)
        if report is None:
            project.run_until("baseline", space.fixed)
            report = _searched(search, study)
        outcome = conclude(search, report, option)
        tie(search, study, outcome)
        return outcome


def _require_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise MissingExtraError("tunewright sweep", "sweep") from None


def _open(search: Search) -> Study:
    from tunewright.pipeline.study import open_study

    settings = search.settings
    database = search.project.paths.state / "sweeps" / f"{settings.name}.db"
    return open_study(database, search.identity, search.space, seed=settings.seed, prunes=settings.prunes)


def _last_report(search: Search, study: Study) -> SweepReport | None:
    """Return the report on disk when nothing is left to do and it shows all trials of this study."""
    path, done = search.page_folder / DATA, len(study.records())
    if done < search.limit or study.is_interrupted() or not path.is_file():
        return None
    found = read_json(path)
    if found.get("study") != search.identity or len(found["trials"]) != done:
        return None
    say(f"{done} trials are done")
    return SweepReport.model_validate(found)


def _searched(search: Search, study: Study) -> SweepReport:
    """Run what is left of the trials, and report."""
    _announce(search, len(study.records()))
    base = logged_in(search.project.paths, BASE)
    with _recorded(search) as run:
        task_of = partial(_task, search, run.run_id, base)
        Trials(study, run.tracking, search.folder, task_of, search.settings.jobs).run(search.limit)
        report = _report(search, study, run)
        write_sweep_report(report, search.page_folder)
        run.artifact(search.page_folder)
        run.tags({"best_trial": report.best.number, "trials": len(report.trials)})
        run.metrics({f"best/{report.metric}": report.best.value or 0.0}, len(report.trials))
    return report


def _announce(search: Search, done: int) -> None:
    for each in search.space.dimensions:
        say(f"{each.key}: {each.domain.describe()}")
    if search.limit < search.settings.trials:
        say(
            f"the space has {search.limit} points: no more trials than that, instead of {search.settings.trials}"
        )
    if done:
        say(f"going on: {done} of {search.limit} trials have begun")


@contextmanager
def _recorded(search: Search) -> Iterator[Execution]:
    """Record the sweep as one execution, the same for all calls that go on with it."""
    from tunewright.registry.executions import execution
    from tunewright.registry.tracking import connect
    from tunewright.registry.trials import sweep_run

    tracking = connect(search.recipe, search.project.paths)
    tags = {
        "study": search.identity,
        "sweep": search.settings.name,
        "data_digest": search.data_digest,
        "seed": search.settings.seed,
    }
    space = {each.key: each.domain.describe() for each in search.space.dimensions}
    with execution(
        tracking,
        "sweep",
        recipe=search.recipe,
        params={"space": space},
        tags=tags,
        resume=sweep_run(tracking, search.identity),
    ) as run:
        yield run


def _task(search: Search, run_id: str, base: LoggedModel, trial: Trial) -> TrialTask:
    words = search.space.words(trial.params)
    return TrialTask(
        number=trial.number,
        sweep_run_id=run_id,
        overrides=tuple(words),
        recipe=search.project.compose([*search.space.fixed, *words]),
        data_digest=search.data_digest,
        base=base,
        base_model=search.recipe.model,
    )


def _report(search: Search, study: Study, run: Execution) -> SweepReport:
    from tunewright.registry.tracking import without_credentials

    best = study.best()
    assert best is not None  # noqa: S101 - the trials have ended with one
    return SweepReport(
        name=search.settings.name,
        study=search.identity,
        project=search.recipe.project,
        metric=search.recipe.evaluation.primary_metric,
        seed=search.settings.seed,
        data_digest=search.data_digest,
        run_id=run.run_id,
        space={each.key: each.domain.describe() for each in search.space.dimensions},
        fixed=tuple(map(without_credentials, search.space.fixed)),
        trials=study.records(),
        best=best,
        overrides=tuple(map(without_credentials, search.overrides(best.values))),
        importances=study.importances(),
    )
