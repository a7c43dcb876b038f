"""The one module that speaks to DVC: what changed, and what is now recorded.

DVC's Python objects are not a documented interface; the version is pinned, and only this file knows them. What was
read in their source: ``Stage.status`` compares dependencies, parameters and outputs with ``dvc.lock``;
``Stage.save`` hashes what a stage reads and gives, ``Stage.commit`` puts its outputs into the cache, and
``dump_stages`` writes the lock entry (``Repo.commit`` does the same, but finds the file from the working directory).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.pipeline.dvcfile import DVC_FILE
from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from dvc.repo import Repo


class Records:
    """DVC's view of a project's steps."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._file = str(Path(repo.root_dir) / DVC_FILE)

    def changes(self, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Say for each step why it must run, one clause a reason; empty where nothing changed.

        All steps are asked under one lock, because DVC forgets what it has read each time it takes it.

        Raises:
            TunewrightError: When DVC can't read the project's files.
        """
        from dvc.repo import lock_repo

        with _translated(self._repo.root_dir), lock_repo(self._repo):
            stages = {stage.name: stage for stage in self._repo.stage.load_all(self._file)}
            return {name: tuple(_reasons(stages[name].status())) for name in names}

    def commit(self, name: str) -> None:
        """Record a step's inputs and outputs as they are now."""
        from dvc.repo import lock_repo

        with _translated(self._repo.root_dir), lock_repo(self._repo):
            (stage,) = self._repo.stage.load_all(self._file, name)
            stage.save()
            stage.commit()
            stage.dvcfile.dump_stages([stage], update_pipeline=False)


@contextmanager
def open_records(root: Path) -> Iterator[Records]:
    """Open a project's DVC repository. Its lock is held for each question and record, not while a step runs.

    Raises:
        InputError: When the project isn't a DVC repository.
    """
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    _hush()
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
    from dvc.repo import Repo

    if (root / ".dvc").is_dir():
        return
    _hush()
    with _translated(str(root)):
        Repo.init(str(root)).close()
    with (root / ".dvc" / "config").open("a", encoding="utf-8") as config:
        config.write("[core]\n    analytics = false\n    check_update = false\n")


def _hush() -> None:
    """Keep DVC, which has just been imported, from telling each step it takes on standard output."""
    import logging

    logging.getLogger("dvc").setLevel(logging.ERROR)


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
