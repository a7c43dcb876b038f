"""Run the trials of a sweep, some at a time, until the study has as many as were asked for."""

from __future__ import annotations

import os
import queue
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tunewright.pipeline.search_space import Value, written
from tunewright.pipeline.trial import CHECKPOINTS, LOG, TASK
from tunewright.pipeline.trial_process import Events, Heard, TrialProcess
from tunewright.pipeline.trial_record import TrialResult, TrialTask
from tunewright.registry.trials import close_trial
from tunewright.support.console import say
from tunewright.support.errors import TunewrightError
from tunewright.support.files import write_json

if TYPE_CHECKING:
    from optuna.trial import Trial

    from tunewright.pipeline.study import Study
    from tunewright.registry.tracking import Tracking

MOST_FAILURES = 3
"""So many trials that fail one after another show a fault that isn't theirs."""


@dataclass(slots=True)
class Running:
    """A trial under way."""

    trial: Trial
    process: TrialProcess
    run_id: str = ""
    result: TrialResult | None = None


@dataclass(slots=True)
class Trials:
    """The trials of one sweep."""

    study: Study
    tracking: Tracking
    folder: Path
    """Holds a folder for each trial."""
    task_of: Callable[[Trial], TrialTask]
    jobs: int
    _running: dict[int, Running] = field(default_factory=dict)
    _failed: dict[int, tuple[Trial, str]] = field(default_factory=dict)
    """Trials that failed and aren't closed: were it a fault of all, the same command would try them again."""
    _events: Events = field(default_factory=queue.Queue)

    def run(self, limit: int) -> None:
        """Go on with the trials that were killed, then begin new ones, until there are ``limit``.

        Raises:
            TunewrightError: When trial after trial fails, or none ended well.
        """
        waiting = self.study.begun()
        try:
            while True:
                while len(self._running) < self.jobs and (waiting or len(self.study.records()) < limit):
                    self._start(waiting.pop(0) if waiting else self.study.next())
                if not self._running:
                    break
                self._take(self._events.get())
        finally:
            for each in self._running.values():
                each.process.end()
        if self.study.best() is None:
            raise self._fault("no trial ended well")
        self._close_failed()

    def _start(self, trial: Trial) -> None:
        task = self.task_of(trial)
        folder = trial_folder(self.folder, trial.number)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / TASK, task.model_dump(mode="json"))
        threads = 1 if self.jobs > 1 and "OMP_NUM_THREADS" not in os.environ else None
        process = TrialProcess.start(
            trial.number, folder, root=self.tracking.root, threads=threads, events=self._events
        )
        self._running[trial.number] = Running(trial, process)
        say(f"trial {trial.number}: {described(trial.params)}")

    def _take(self, heard: Heard) -> None:
        """Act on what a trial said."""
        running, facts = self._running[heard.number], heard.facts
        if "run_id" in facts:
            running.run_id = facts["run_id"]
            self.study.note(running.trial, running.run_id)
        if "epoch" in facts:
            stop = self.study.report(running.trial, facts["epoch"], facts["score"])
            running.process.answer(stop=stop)
        if "result" in facts:
            running.result = TrialResult.model_validate(facts["result"])
        if heard.code is not None:
            del self._running[heard.number]
            if heard.code == 0 and running.result is not None:
                self._finished(running, running.result)
            else:
                self._has_failed(running)

    def _finished(self, running: Running, result: TrialResult) -> None:
        """Close a trial's run, then the trial: a kill between them repeats the first."""
        state: Literal["complete", "pruned"] = "pruned" if self.study.is_pruned(running.trial) else "complete"
        close_trial(self.tracking, running.run_id, state)
        self.study.finish(running.trial, result)
        self._close_failed()
        self._drop_checkpoints()
        epochs = len(result.scores)
        say(
            f"trial {running.trial.number}: {state}, {result.value:.4f} after {epochs} epoch{'s' if epochs > 1 else ''}"
        )

    def _has_failed(self, running: Running) -> None:
        error = running.process.complaint()
        say(f"trial {running.trial.number}: failed: {error}")
        if running.run_id:
            close_trial(self.tracking, running.run_id, "failed", error=error)
        if self.study.has_failed_before(running.trial):
            # In an earlier call, since which a fault of all trials would have been mended.
            self.study.fail(running.trial, error)
            return
        self.study.note_error(running.trial, error)
        self._failed[running.trial.number] = running.trial, error
        if len(self._failed) >= MOST_FAILURES:
            raise self._fault(f"{MOST_FAILURES} trials failed")

    def _close_failed(self) -> None:
        for trial, error in self._failed.values():
            self.study.fail(trial, error)
        self._failed.clear()

    def _fault(self, fact: str) -> TunewrightError:
        errors = {each.number: each.error for each in self.study.records() if each.error}
        errors |= {number: error for number, (_, error) in self._failed.items()}
        number = max(errors)
        again = "mend that, then the same command tries them again" if self._failed else "search other values"
        return TunewrightError(
            f"{fact}, trial {number} because: {errors[number]}",
            place=str(trial_folder(self.folder, number) / LOG),
            mend=again,
        )

    def _drop_checkpoints(self) -> None:
        """Keep the finished weights of the best trial alone: those of the others are in MLflow, or not needed."""
        best = self.study.best()
        for each in self.study.records():
            if each.state in {"complete", "pruned"} and each != best:
                shutil.rmtree(trial_folder(self.folder, each.number) / CHECKPOINTS, ignore_errors=True)


def trial_folder(folder: Path, number: int) -> Path:
    """Return the folder of a trial."""
    return folder / f"{number:03d}"


def described(values: dict[str, Value]) -> str:
    """Write a trial's values in a line."""
    return ", ".join(
        f"{key.removeprefix('training.')} {value:.4g}"
        if isinstance(value, float)
        else f"{key.removeprefix('training.')} {written(value)}"
        for key, value in values.items()
    )
