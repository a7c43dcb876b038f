"""The study of a sweep: which trials there were, what the next one takes, which one is best.

Optuna (Akiba et al. 2019, arXiv:1907.10902) keeps it in SQLite. One process at a time writes it, the one that holds the
sweep's lock: trials run as processes of their own and tell that one. A trial that is found running is therefore one
whose process was killed; it is taken up again under its own number, so that a study never has more trials than asked.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.pipeline.search_space import Choices, Numbers, SearchSpace, Value
from tunewright.pipeline.trial_record import TrialRecord, TrialResult
from tunewright.support.digests import digest_json
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

    from tunewright.pipeline.trial_record import State

STARTUP_TRIALS = 5
"""Points drawn at random before the sampler chooses, and trials that must be complete before one is pruned. Optuna's
ten would leave a sweep of a dozen trials to chance."""
GRID_POINTS = 32
"""A space with no more points than this is walked in a random order, without repeats."""
LOCK_SECONDS = 60
PRUNED = "pruned"
RESULT = "result"
RUN = "run_id"
ERROR = "error"


@dataclass(frozen=True, slots=True)
class Study:
    """A study that lies on disk."""

    inner: optuna.Study
    space: SearchSpace
    seed: int
    prunes: bool

    def begun(self) -> list[Trial]:
        """Return the trials whose process was killed, with the values that they were given."""
        import optuna

        running = self.inner.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        return [self._valued(each.number, each._trial_id) for each in running]

    def is_interrupted(self) -> bool:
        """Tell whether a trial was killed."""
        return any(each.state == "running" for each in self.records())

    def recall(self, name: str) -> object:
        """Return a fact about the whole study; ``None`` when it was never remembered."""
        return self.inner.user_attrs.get(name)

    def remember(self, name: str, value: str | int) -> None:
        """Keep a fact about the whole study."""
        self.inner.set_user_attr(name, value)

    def next(self) -> Trial:
        """Begin a trial: TPE (Bergstra et al. 2011) chooses its values from what the earlier ones gave.

        The sampler is seeded with the seed and the trial's number, so that a study which goes on in another process
        draws what it would have drawn in this one.
        """
        return self._valued(len(self.inner.get_trials(deepcopy=False)))

    def report(self, trial: Trial, epoch: int, score: float) -> bool:
        """Take an epoch's score; tell whether the trial is to be ended there.

        The answer is on disk before the trial hears it: it stays the same for a trial that is killed and resumed.
        """
        known = self._frozen(trial)
        if epoch not in known.intermediate_values:
            trial.report(score, epoch)
        is_pruned = bool(known.user_attrs.get(PRUNED)) or (self.prunes and trial.should_prune())
        if is_pruned:
            trial.set_user_attr(PRUNED, True)
        return is_pruned

    def note(self, trial: Trial, run_id: str) -> None:
        """Keep the id of a trial's MLflow run."""
        trial.set_user_attr(RUN, run_id)

    def note_error(self, trial: Trial, error: str) -> None:
        """Keep why a trial failed, without closing it."""
        trial.set_user_attr(ERROR, error)

    def has_failed_before(self, trial: Trial) -> bool:
        """Tell whether a trial that isn't closed has failed already."""
        return ERROR in self._frozen(trial).user_attrs

    def is_pruned(self, trial: Trial) -> bool:
        """Tell whether a trial was told to end early."""
        return bool(self._frozen(trial).user_attrs.get(PRUNED))

    def finish(self, trial: Trial, result: TrialResult) -> None:
        """Close a trial that has ended well: complete, or pruned when it was told to end early."""
        import optuna

        for epoch, score in enumerate(result.scores, start=1):
            if epoch not in self._frozen(trial).intermediate_values:
                trial.report(score, epoch)
        trial.set_user_attr(RESULT, result.model_dump(mode="json"))
        if self.is_pruned(trial):
            self.inner.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self.inner.tell(trial, result.value)

    def fail(self, trial: Trial, error: str) -> None:
        """Close a trial that gave nothing."""
        import optuna

        trial.set_user_attr(ERROR, error)
        self.inner.tell(trial, state=optuna.trial.TrialState.FAIL)

    def records(self) -> tuple[TrialRecord, ...]:
        """Return every trial, in the order of their numbers."""
        return tuple(map(self._record, self.inner.get_trials(deepcopy=False)))

    def best(self) -> TrialRecord | None:
        """Return the complete trial with the highest value, the earliest of equals."""
        complete = [each for each in self.records() if each.state == "complete"]
        return max(complete, key=lambda each: (each.value or 0.0, -each.number), default=None)

    def importances(self) -> dict[str, float]:
        """Return the share of each field in what made trials good; empty while that can't be told.

        By PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255), from complete trials.
        """
        from optuna.importance import get_param_importances

        values = {each.value for each in self.records() if each.state == "complete"}
        if len(values) < STARTUP_TRIALS:
            return {}
        shares = get_param_importances(self.inner)
        return {name: float(share) for name, share in shares.items()}

    def _valued(self, number: int, trial_id: int | None = None) -> Trial:
        """Give a trial its values; those that it has on disk already stay."""
        from optuna.trial import Trial

        self.inner.sampler = _sampler(self.space, seed=self.seed, number=number)
        trial = self.inner.ask() if trial_id is None else Trial(self.inner, trial_id)
        for each in self.space.dimensions:
            _suggest(trial, each.key, each.domain)
        return trial

    def _frozen(self, trial: Trial) -> FrozenTrial:
        return self.inner.get_trials(deepcopy=False)[trial.number]

    def _record(self, frozen: FrozenTrial) -> TrialRecord:
        attributes = frozen.user_attrs
        result = attributes.get(RESULT)
        return TrialRecord(
            number=frozen.number,
            state=STATES[frozen.state.name],
            values=dict(frozen.params),
            value=frozen.value,
            scores=tuple(frozen.intermediate_values[epoch] for epoch in sorted(frozen.intermediate_values)),
            run_id=attributes.get(RUN),
            error=attributes.get(ERROR) if frozen.state.name == "FAIL" else None,
            result=TrialResult.model_validate(result) if result else None,
        )


def open_study(database: Path, name: str, space: SearchSpace, *, seed: int, prunes: bool) -> Study:
    """Open a study, or begin it.

    Args:
        database: The SQLite file; it may hold several studies.
        name: Identity of the study: the same name goes on with the same trials.
        space: What varies.
        seed: Of the sampler.
        prunes: Whether trials that fall behind are ended early.

    Raises:
        TunewrightError: When the file is damaged or can't be written.
    """
    import optuna
    from optuna.exceptions import StorageInternalError
    from optuna.pruners import MedianPruner, NopPruner
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    database.parent.mkdir(parents=True, exist_ok=True)
    address = f"sqlite:///{database}".replace("{", "{{").replace("}", "}}")  # Optuna formats it
    try:
        storage = optuna.storages.RDBStorage(
            address, engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}}
        )
        inner = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            pruner=MedianPruner(n_startup_trials=STARTUP_TRIALS) if prunes else NopPruner(),
        )
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        fact = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
        raise TunewrightError(
            f"the study can't be opened ({fact})",
            place=str(database),
            mend="restore the file from a copy, or move it away and sweep again",
        ) from error
    return Study(inner, space, seed, prunes)


def _sampler(space: SearchSpace, *, seed: int, number: int) -> BaseSampler:
    """Return what chooses the values of the trial with this number."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import PartialFixedSampler, RandomSampler, TPESampler

    if space.size <= GRID_POINTS:  # Optuna's own sampler for grids serves its own loop alone
        with warnings.catch_warnings():  # called experimental since 2021
            warnings.simplefilter("ignore", ExperimentalWarning)
            return PartialFixedSampler(_grid_point(space, seed=seed, number=number), RandomSampler())
    drawn = int(digest_json([seed, number])[:8], 16)
    return TPESampler(seed=drawn, n_startup_trials=STARTUP_TRIALS)


def _grid_point(space: SearchSpace, *, seed: int, number: int) -> dict[str, Value]:
    """Return the point at a place in the order that a seed gives to a finite space."""
    import numpy as np

    points = list(itertools.product(*(each.domain.listed() for each in space.dimensions)))
    order = np.random.default_rng(seed).permutation(len(points))
    names = (each.key for each in space.dimensions)
    return dict(zip(names, points[order[number % len(points)]], strict=True))


def _suggest(trial: Trial, key: str, domain: Numbers | Choices) -> None:
    """Let the sampler choose a value, and keep it."""
    if isinstance(domain, Choices):
        trial.suggest_categorical(key, domain.values)
    elif domain.whole:
        trial.suggest_int(key, int(domain.low), int(domain.high), step=int(domain.step or 1), log=domain.log)
    else:
        trial.suggest_float(key, domain.low, domain.high, step=domain.step, log=domain.log)


STATES: dict[str, State] = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "running",
}
