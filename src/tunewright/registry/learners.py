"""The runs that learned from data: all of a project, and which of them knew a row."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.registry.lineage import ROWS, fetched
from tunewright.registry.tracking import PREFIX, Tracking, explained

if TYPE_CHECKING:
    from mlflow.entities import Run

KINDS = {"baseline": "execution", "train": "execution", "sweep": "trial"}
"""Steps whose runs learn, and the kind of those: the run of a whole sweep only holds its trials."""
UNTESTED = ("sweep",)
"""Steps whose runs never see the test rows."""


@dataclass(frozen=True, slots=True)
class LearningRun:
    """One run that learned from a data set."""

    run_id: str
    name: str
    step: str
    status: str
    started: str
    """UTC, ISO 8601."""
    data_digest: str
    data_commit: str
    """Commit of the data's pointers as it was known then; may be empty."""

    def seen(self, splits: Iterable[str]) -> tuple[str, ...]:
        """Return those splits of its data set that the run saw."""
        return tuple(split for split in splits if split != "test" or self.step not in UNTESTED)


def learning_runs(tracking: Tracking) -> list[LearningRun]:
    """List the runs of the project that learned from data, oldest first."""
    found: list[Run] = []
    for step, kind in KINDS.items():
        wanted = f"tags.`{PREFIX}step` = '{step}' AND tags.`{PREFIX}kind` = '{kind}'"
        token: str | None = None
        with explained(tracking.uri):
            while True:
                page = tracking.client.search_runs([tracking.experiment_id], wanted, page_token=token)
                found += page
                token = page.token
                if not token:
                    break
    found.sort(key=lambda run: (run.info.start_time, run.info.run_id))
    return [_described(run) for run in found]


def learning_run(tracking: Tracking, run_id: str) -> LearningRun:
    """Describe one run."""
    with explained(tracking.uri):
        return _described(tracking.client.get_run(run_id))


def splits_with(tracking: Tracking, run_id: str, digests: Iterable[str]) -> frozenset[str] | None:
    """Return the splits of a run's data in which a row stood, from what the run itself keeps of its rows.

    Args:
        tracking: Where.
        run_id: A training run; others keep no rows.
        digests: Digests of the row's text (see ``lineage.row_digest``), one a way to write it.

    Returns:
        None when the run kept no rows, as one that was killed.
    """
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as name:
        path = fetched(tracking, run_id, ROWS, Path(name))
        if path is None:
            return None
        table = pq.read_table(path, columns=["split"], filters=[("digest", "in", [*digests])])
        return frozenset(table["split"].to_pylist())


def _described(run: Run) -> LearningRun:
    tags = run.data.tags
    started = datetime.fromtimestamp(run.info.start_time / 1000, timezone.utc)
    return LearningRun(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        step=tags.get(PREFIX + "step", ""),
        status=str(run.info.status),
        started=started.isoformat(timespec="seconds"),
        data_digest=tags.get(PREFIX + "data_digest", ""),
        data_commit=tags.get(PREFIX + "data_commit", ""),
    )
