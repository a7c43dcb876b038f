"""Ask DVC what changed, and let it record what is now there; with ``dvc_remotes`` all that speaks to DVC.

DVC's Python objects are not a documented interface; the version is pinned, and only these files know them. What was
read in their source: ``Stage.status`` compares dependencies, parameters and outputs with ``dvc.lock``;
``Stage.save`` hashes what a stage reads and gives, ``Stage.commit`` puts its outputs into the cache, and
``dump_stages`` writes the lock entry (``Repo.commit`` does the same, but finds the file from the working directory).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.pipeline.dvcfile import DVC_FILE
from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from dvc.repo import Repo


LOOKS, LOOK_S = 5, 0.1


class Records:
    """DVC's view of a project's steps."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._file = str(Path(repo.root_dir) / DVC_FILE)
        repo.stage_cache._create_stage = self._remembered

    def changes(self, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Say for each step why it must run, one clause a reason; empty where nothing changed.

        All steps are asked under one lock, because DVC forgets what it has read each time it takes it.

        Raises:
            TunewrightError: When DVC can't read the project's files.
        """
        from dvc.repo import lock_repo

        with translated(self._repo.root_dir), lock_repo(self._repo):
            stages = {stage.name: stage for stage in self._repo.stage.load_all(self._file)}
            return {name: tuple(_reasons(stages[name].status())) for name in names}

    def commit(self, name: str, *, remember: bool = False) -> None:
        """Record a step's inputs and outputs as they are now.

        Args:
            name: The step.
            remember: Keep the outputs in DVC's run cache too, to be recalled when the same inputs come again.
        """
        from dvc.repo import lock_repo

        with translated(self._repo.root_dir), lock_repo(self._repo):
            stage = self._stage(name)
            _record(stage)
            if remember:
                self._repo.stage_cache.save(_without_persist(stage))

    def recall(self, name: str) -> bool:
        """Bring back what a step gave when it last saw the inputs that it has now.

        Returns:
            False when DVC's run cache doesn't hold it; then nothing was touched.
        """
        from dvc.repo import lock_repo
        from dvc.stage.exceptions import MissingDataSource

        with translated(self._repo.root_dir), lock_repo(self._repo):
            stage = self._stage(name)
            try:
                stage.save_deps()
            except MissingDataSource:
                return False
            known = self._repo.stage_cache._load(_without_persist(stage))
            cached = self._remembered(known, wdir=stage.wdir) if known else None
            if cached is None or not cached.outs_cached():
                return False
            # What DVC doesn't keep itself must be a copy, never a link into its cache.
            with self._repo.stage_cache._cache_type_copy():
                for out in cached.outs:
                    out.checkout(force=True)
            _record(self._stage(name))
            return True

    def digest(self, name: str, path: str) -> str:
        """Return the hash of one output of a step, as ``dvc.lock`` holds it.

        Raises:
            TunewrightError: When the step has not been recorded.
        """
        for out in self._stage(name).outs:
            if out.def_path == path and out.hash_info:
                return str(out.hash_info.value)
        raise TunewrightError(f"step {name} has no record", place=path, mend="run `tunewright run`")

    def _remembered(self, entry: Mapping[str, Any], wdir: str) -> Any:  # noqa: ANN401
        """Make a stage of an entry of the run cache; DVC's own way takes the working directory for the project."""
        from dvc.stage import PipelineStage, create_stage
        from dvc.stage.loader import StageLoader

        outs = [out["path"] for out in entry["outs"]]
        stage = create_stage(PipelineStage, self._repo, self._file, cmd=entry["cmd"], wdir=wdir, outs=outs)
        StageLoader.fill_from_lock(stage, entry)
        return stage

    def _stage(self, name: str) -> Any:  # noqa: ANN401
        """Read a step's stage anew."""
        (stage,) = self._repo.stage.load_all(self._file, name)
        return stage


def _record(stage: Any) -> None:  # noqa: ANN401
    """Write a stage's lock entry from what is on disk."""
    stage.save()
    stage.commit()
    stage.dvcfile.dump_stages([stage], update_pipeline=False)


def _without_persist(stage: Any) -> Any:  # noqa: ANN401
    """Let the run cache take a stage: it refuses outputs that stay while their stage runs, as ours do."""
    for out in stage.outs:
        out.persist = False
    return stage


@contextmanager
def open_records(root: Path) -> Iterator[Records]:
    """Open a project's DVC repository. Its lock is held for each question and record, not while a step runs.

    Raises:
        InputError: When the project isn't a DVC repository.
    """
    with opened(root) as repo:
        yield Records(repo)


@contextmanager
def opened(root: Path, config: Mapping[str, Any] | None = None) -> Iterator[Repo]:
    """Open a DVC repository, mending what a killed process may have left in it.

    Args:
        root: The project.
        config: Settings that take the place of those in ``.dvc/config``, in every commit that is looked at.

    Raises:
        InputError: When the project isn't a DVC repository.
    """
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    hush()
    try:
        repo = Repo(str(root), config=config)
    except NotDvcRepoError:
        raise InputError("is not a DVC repository", place=str(root), mend="run `dvc init` there") from None
    try:
        _mend_lock_file(Path(repo.tmp_dir or root / ".dvc" / "tmp") / "rwlock")
        yield repo
    finally:
        repo.close()


def _mend_lock_file(path: Path) -> None:
    """Remove DVC's list of files in use where it was cut off: it is rewritten in place, and a kill may hit that.

    A DVC command that is just writing it is waited for.
    """
    for _ in range(LOOKS):
        if not _is_cut_off(path):
            return
        time.sleep(LOOK_S)
    path.unlink(missing_ok=True)


def _is_cut_off(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return False


def add(root: Path, names: Sequence[str]) -> list[str]:
    """Track files or folders that no stage gives, as ``dvc add`` does.

    Returns:
        DVC's hash of each.

    Raises:
        TunewrightError: When DVC refuses one: a stage gives it, say.
    """
    with translated(str(root)), opened(root) as repo:
        stages = [repo.add([str(root / name)])[0] for name in names]
        return [str(stage.outs[0].hash_info.value) for stage in stages]


def initialise(root: Path) -> None:
    """Make a git repository a DVC repository too, unless it is one."""
    from dvc.repo import Repo

    if (root / ".dvc").is_dir():
        return
    hush()
    with translated(str(root)):
        Repo.init(str(root)).close()
    with (root / ".dvc" / "config").open("a", encoding="utf-8") as config:
        config.write("[core]\n    analytics = false\n    check_update = false\n")


def hush() -> None:
    """Keep DVC, which has just been imported, from telling each step it takes on standard output."""
    import logging

    logging.getLogger("dvc").setLevel(logging.ERROR)


@contextmanager
def translated(root: str) -> Iterator[None]:
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
