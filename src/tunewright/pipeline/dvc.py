"""The one module that speaks to DVC: what changed, and what is now recorded.

DVC's Python objects are not a documented interface; the version is pinned, and only this file knows them. What was
read in their source: ``Stage.status`` compares dependencies, parameters and outputs with ``dvc.lock``;
``Repo.commit(force=True)`` hashes the outputs into the cache and writes the lock entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from dvc.repo import Repo


class Records:
    """DVC's view of a project's steps."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo

    def changes(self, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Say for each step why it must run, one clause a reason; empty where nothing changed.

        All steps are asked under one lock, because DVC forgets what it has read each time it takes it.

        Raises:
            TunewrightError: When DVC can't read the project's files.
        """
        from dvc.repo import lock_repo

        with _translated(self._repo.root_dir), lock_repo(self._repo):
            stages = {stage.name: stage for stage in self._repo.stage.load_all()}
            return {name: tuple(_reasons(stages[name].status())) for name in names}

    def commit(self, name: str) -> None:
        """Record a step's inputs and outputs as they are now."""
        with _translated(self._repo.root_dir):
            self._repo.commit(name, force=True)


@contextmanager
def open_records(root: Path) -> Iterator[Records]:
    """Open a project's DVC repository. Its lock is held for each question and record, not while a step runs.

    Raises:
        InputError: When the project isn't a DVC repository.
    """
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        repo = Repo(str(root))
    except NotDvcRepoError:
        raise InputError("is not a DVC repository", place=str(root), mend="run `dvc init` there") from None
    try:
        yield Records(repo)
    finally:
        repo.close()


def initialise(root: Path) -> None:
    """Make a git repository a DVC repository too, unless it is one."""
    import logging

    from dvc.repo import Repo

    if (root / ".dvc").is_dir():
        return
    logging.getLogger("dvc").setLevel(logging.WARNING)  # importing DVC sets it to tell each step it takes
    with _translated(str(root)):
        Repo.init(str(root)).close()
    with (root / ".dvc" / "config").open("a", encoding="utf-8") as config:
        config.write("[core]\n    analytics = false\n    check_update = false\n")


@contextmanager
def _translated(root: str) -> Iterator[None]:
    """Turn DVC's errors into one line."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    try:
        yield
    except LockError as error:
        raise TunewrightError(
            "another DVC command holds the lock", place=root, mend="wait for it to end"
        ) from error
    except DvcException as error:
        raise TunewrightError(f"DVC says: {str(error).splitlines()[0]}", place=root) from error


def _reasons(status: Mapping[str, Any]) -> Iterator[str]:
    for entries in status.values():
        for entry in entries:
            yield from _clauses(entry)


def _clauses(entry: Any) -> Iterator[str]:  # noqa: ANN401 - DVC's status is a mix of words and mappings
    if isinstance(entry, str):
        yield {"changed command": "its definition changed"}.get(entry, entry)
        return
    for kind, changed in entry.items():
        for name, what in changed.items():
            if isinstance(what, dict):
                yield from (f"{key} is {state}" for key, state in what.items())
            else:
                yield f"{'output ' if kind == 'changed outs' else ''}{name} is {what}"
