"""Which data versions there are: read from git, and kept in ``commit_history.json`` for people and scripts.

Git is the record: each commit of pointer files names its step, its MLflow run and the digest of its data in trailers,
so that a fresh clone knows them too. The file is a convenience of this checkout, and git ignores it.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from tunewright.support.files import read_json, write_json
from tunewright.support.locks import locked

if TYPE_CHECKING:
    from tunewright.pipeline.repository import Logged, Repository
    from tunewright.support.paths import ProjectPaths

STEP, RUN, DIGEST = "Tunewright-Step", "Tunewright-Run", "Tunewright-Digest"


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of pointer files."""

    commit: str
    when: str
    """ISO 8601."""
    step: str
    run_id: str
    """The MLflow run that made the data; empty when it isn't known."""
    digest: str
    """Identity of the data: the manifest's after ``split``, DVC's before it."""


def commits(repository: Repository, *, step: str | None = None) -> list[Commit]:
    """List the commits of pointer files, newest first; those of one step when ``step`` is given.

    Where git is missing there are none.
    """
    if shutil.which("git") is None:
        return []
    found = [_commit(logged) for logged in repository.log((STEP, RUN, DIGEST))]
    return [each for each in found if step in (None, each.step)]


def find_digest(repository: Repository, step: str, digest: str) -> Commit | None:
    """Return the newest commit of a step that gave the data of this digest."""
    return next((each for each in commits(repository, step=step) if each.digest == digest), None)


def append(paths: ProjectPaths, entry: Commit) -> None:
    """Add a commit to ``commit_history.json``, once; the file is replaced as a whole, under a lock."""
    with locked(paths.state / "history.lock", what="the commit history"):
        entries = entries_of(paths)
        if any(each["commit"] == entry.commit for each in entries.values()):
            return
        now = datetime.now(timezone.utc).isoformat(timespec="microseconds")
        facts = {name: value for name, value in asdict(entry).items() if name != "when"}
        write_json(paths.history, {**entries, now: facts})


def entries_of(paths: ProjectPaths) -> dict[str, dict[str, Any]]:
    """Read ``commit_history.json``: ``{timestamp: {commit, step, run_id, digest}}``.

    Raises:
        TunewrightError: When it is damaged.
    """
    entries: dict[str, dict[str, Any]] = read_json(paths.history) if paths.history.is_file() else {}
    return entries


def _commit(logged: Logged) -> Commit:
    facts = logged.facts
    return Commit(logged.commit, logged.when, facts[STEP], facts[RUN], facts[DIGEST])
