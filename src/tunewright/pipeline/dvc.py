"""Ask DVC what changed, and let it record what is now there; with ``dvc_remotes`` all that speaks to DVC.

DVC's Python objects are not a documented interface; the version is pinned, and only these files know them. What was
read in their source: ``Stage.status`` compares dependencies, parameters and outputs with ``dvc.lock``;
``Stage.save`` hashes what a stage reads and gives, ``Stage.commit`` puts its outputs into the cache, and
``to_lockfile`` makes the lock entry. DVC's own ``dump_stages`` would write it with a parser in Python that keeps
comments: 60 ms a step, for a file that nobody writes by hand.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.pipeline.dvc_yaml import dump_yaml, load_yaml
from tunewright.pipeline.dvcfile import DVC_FILE, LOCK_FILE
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import write_text

if TYPE_CHECKING:
    from dvc.repo import Repo


LOOKS, LOOK_S = 5, 0.1
LOCK_SCHEMA = "2.0"


class Records:
    """DVC's view of a project's steps.

    What was read from ``dvc.yaml`` and ``dvc.lock`` is kept until one of them is another file than it was.
    """

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._file = str(Path(repo.root_dir) / DVC_FILE)
        self._lock = Path(repo.root_dir) / LOCK_FILE
        self._stages: dict[str, Any] = {}
        self._read: tuple[object, ...] = ()
        repo.stage_cache._create_stage = self._remembered

    def changes(self, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Say for each step why it must run, one clause a reason; empty where nothing changed.

        Raises:
            TunewrightError: When DVC can't read the project's files.
        """
        from dvc.repo import lock_repo

        with translated(self._repo.root_dir), lock_repo(self._repo):
            return {name: tuple(_reasons(self._stage(name).status())) for name in names}

    def commit(self, name: str, *, remember: bool = False) -> None:
        """Record a step's inputs and outputs as they are now.

        Args:
            name: The step.
            remember: Keep the outputs in DVC's run cache too, to be recalled when the same inputs come again.
        """
        from dvc.repo import lock_repo

        with translated(self._repo.root_dir), lock_repo(self._repo):
            stage = self._stage(name)
            self._record(stage)
            if remember:
                with _without_persist(stage):
                    self._repo.stage_cache.save(stage)

    def recall(self, name: str) -> bool:
        """Bring back what a step gave when it last saw the inputs that it has now.

        Returns:
            False when DVC's run cache doesn't hold it; then nothing was touched, and the step must be run and recorded.
        """
        from dvc.dependency.base import DependencyDoesNotExistError
        from dvc.repo import lock_repo

        with translated(self._repo.root_dir), lock_repo(self._repo):
            stage = self._stage(name)
            try:
                stage.save_deps()
            except DependencyDoesNotExistError:
                return False
            with _without_persist(stage):
                known = self._repo.stage_cache._load(stage)
            cached = self._remembered(known, wdir=stage.wdir) if known else None
            if cached is None or not cached.outs_cached():
                return False
            # What DVC doesn't keep itself must be a copy, never a link into its cache.
            with self._repo.stage_cache._cache_type_copy():
                for out in cached.outs:
                    out.checkout(force=True)
            self._record(stage)
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
        """Return a step's stage; all are read anew when a file that says what they are has changed."""
        now = self._files()
        if now != self._read:
            self._stages = {stage.name: stage for stage in self._repo.stage.load_all(self._file)}
            self._read = now
        return self._stages[name]

    def _files(self) -> tuple[object, ...]:
        """Identify what ``dvc.yaml`` and ``dvc.lock`` hold now, without reading them."""
        found = [path.stat() if path.is_file() else None for path in (Path(self._file), self._lock)]
        return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in found if each)

    def _record(self, stage: Any) -> None:  # noqa: ANN401
        """Write a stage's lock entry from what is on disk; the file is replaced as a whole, as DVC itself doesn't."""
        from dvc.stage.serialize import to_lockfile

        stage.save()
        stage.commit()
        before = self._files()
        text = self._lock.read_text(encoding="utf-8") if self._lock.is_file() else ""
        lock = load_yaml(text) or {"schema": LOCK_SCHEMA}
        lock["stages"] = (lock.get("stages") or {}) | _plain(to_lockfile(stage))
        write_text(self._lock, dump_yaml(lock))
        if (
            before == self._read
        ):  # nobody else wrote in between, so the stages that were read stand as recorded
            stage.cmd_changed = False
            self._read = self._files()


@contextmanager
def _without_persist(stage: Any) -> Iterator[None]:  # noqa: ANN401
    """Let the run cache take a stage: it refuses outputs that stay while their stage runs, as ours do."""
    for out in stage.outs:
        out.persist = False
    try:
        yield
    finally:
        for out in stage.outs:
            out.persist = True


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return a lock entry in plain mappings and lists, which any emitter takes."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


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
