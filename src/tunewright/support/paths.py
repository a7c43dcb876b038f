"""Where things lie in a user's project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tunewright.support.errors import InputError

CONFIG = Path("configs/config.yaml")


@dataclass(frozen=True, slots=True)
class ProjectPaths:
    """The folders and files of one project; every path is absolute."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> ProjectPaths:
        """Find the project that holds ``start`` (default: the working directory).

        Raises:
            InputError: When no folder upwards holds ``configs/config.yaml``.
        """
        here = (start or Path.cwd()).resolve()
        for folder in (here, *here.parents):
            if (folder / CONFIG).is_file():
                return cls(folder)
        raise InputError(
            "is not a tunewright project", place=str(here), mend="run `tunewright init NAME` and `cd NAME`"
        )

    @property
    def configs(self) -> Path:
        """The project's own Hydra configuration."""
        return self.root / "configs"

    @property
    def interim(self) -> Path:
        """Parquet between ingest and split."""
        return self.root / "data" / "interim"

    @property
    def processed(self) -> Path:
        """The versioned data set: split shards and ``manifest.json``."""
        return self.root / "data" / "processed"

    @property
    def models(self) -> Path:
        """Small pointer files to models that live in MLflow."""
        return self.root / "models"

    @property
    def reports(self) -> Path:
        """What a person reads: HTML, plots, verdicts."""
        return self.root / "reports"

    @property
    def state(self) -> Path:
        """Local state, git-ignored: tracking store, checkpoints, locks, caches."""
        return self.root / ".tunewright"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of runs that are under way or were killed."""
        return self.state / "checkpoints"

    @property
    def executions(self) -> Path:
        """The last execution of each step, as JSON."""
        return self.state / "executions"

    @property
    def history(self) -> Path:
        """The commits that steps made of their data, by time."""
        return self.root / "commit_history.json"

    @property
    def ledger(self) -> Path:
        """The append-only record of registrations, promotions, rollbacks and deletions."""
        return self.root / "reports" / "ledger.jsonl"
