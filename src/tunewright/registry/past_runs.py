"""Runs whose process has ended: find them, close them, add facts to them."""

from __future__ import annotations

from collections.abc import Mapping

from tunewright.registry.records import tags_of
from tunewright.registry.tracking import Tracking, explained


def find_execution(tracking: Tracking, name: str) -> str | None:
    """Return the id of the execution with this name; ``None`` when it was never created."""
    query = f"attributes.run_name = '{name.replace(chr(39), '')}'"
    with explained(tracking.uri):
        found = tracking.client.search_runs([tracking.experiment_id], filter_string=query, max_results=1)
    return str(found[0].info.run_id) if found else None


def is_open(tracking: Tracking, run_id: str) -> bool:
    """Tell whether the store holds a run that has not ended."""
    from mlflow.exceptions import MlflowException

    try:
        run = tracking.client.get_run(run_id)
    except MlflowException:
        return False
    return str(run.info.status) == "RUNNING"


def set_killed(tracking: Tracking, run_id: str) -> None:
    """Close the run of an execution that was killed and won't be resumed."""
    with explained(tracking.uri):
        tracking.client.set_terminated(run_id, "KILLED")


def tag_run(tracking: Tracking, run_id: str, tags: Mapping[str, object]) -> None:
    """Add facts to a run that may have ended; names without a dot get our prefix."""
    with explained(tracking.uri):
        for name, value in tags_of(tags).items():
            tracking.client.set_tag(run_id, name, value)
