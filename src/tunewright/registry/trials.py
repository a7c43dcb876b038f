"""The runs of a sweep: found again after a kill, and closed with what became of each trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tunewright.registry.records import tags_of
from tunewright.registry.tracking import PREFIX, Tracking, explained

STATUS = {"complete": "FINISHED", "pruned": "FINISHED", "failed": "FAILED"}


def sweep_run(tracking: Tracking, study: str) -> str | None:
    """Return the execution of a sweep, by the identity of its study."""
    return _found(tracking, {PREFIX + "study": study, PREFIX + "kind": "execution"})


def trial_run(tracking: Tracking, sweep_run_id: str, number: int) -> str | None:
    """Return the run of a trial, by its sweep's execution and its number."""
    return _found(tracking, {"mlflow.parentRunId": sweep_run_id, PREFIX + "trial": str(number)})


def close_trial(
    tracking: Tracking, run_id: str, state: Literal["complete", "pruned", "failed"], *, error: str = ""
) -> None:
    """Tag a trial's run with what became of it, and end it; MLflow itself knows no pruned run."""
    tag(tracking, run_id, {"state": state, **({"error": error} if error else {})})
    with explained(tracking.uri):
        tracking.client.set_terminated(run_id, STATUS[state])


def tag(tracking: Tracking, run_id: str, facts: Mapping[str, object]) -> None:
    """Tag a run that has ended."""
    from mlflow.entities import RunTag

    tags = [RunTag(name, value) for name, value in tags_of(facts).items()]
    with explained(tracking.uri):
        tracking.client.log_batch(run_id, tags=tags)


def _found(tracking: Tracking, tags: dict[str, str]) -> str | None:
    """Return the oldest run with these tags."""
    wanted = " AND ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    with explained(tracking.uri):
        runs = tracking.client.search_runs([tracking.experiment_id], filter_string=wanted)
    oldest = min(runs, key=lambda run: run.info.start_time, default=None)
    return oldest.info.run_id if oldest else None
