"""Copies of sealed checkpoints in an object store or another file system, so that any machine can go on.

A store is any URL that fsspec knows. Below it lies a folder for each training, named by its identity, and in it each
checkpoint as it lies on the machine. Files go first and the seal, which names them with their digests, goes last: an
upload that was cut off has no seal and doesn't count. Deleting runs the other way round.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tunewright.data.streams import faults_of, first_line, shown
from tunewright.support.console import say
from tunewright.support.errors import InputError, MissingExtraError, TunewrightError
from tunewright.support.files import read_json, writing_folder
from tunewright.training.checkpoints import FINISHED, NUMBERED, SEAL, age, check

CLOUD_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
PROBE = ".writable"


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """The checkpoints of one training behind an fsspec URL.

    Args:
        url: Where the checkpoints of all trainings lie, such as ``s3://bucket/checkpoints``.
        training: The training's identity, the name of its folder there and on the machine.
    """

    url: str
    training: str

    def mirror(self, folder: Path, *, keep: int) -> None:
        """Copy a sealed checkpoint, seal last, and remove all but the newest ``keep``.

        A store that can't be reached is said and doesn't end the training: the checkpoint lies on the machine, and the
        next one is tried again.
        """
        try:
            with self._reached() as (files, root):
                self._upload(folder, files, f"{root}/{folder.name}")
                self._prune(files, root, keep)
        except TunewrightError as error:
            say(f"{folder.name} was not copied: {error}")

    def require_writable(self) -> None:
        """Write and remove a small file, so that a wrong address shows before the training and not after it.

        Raises:
            InputError: When the store can't be written.
        """
        with self._reached() as (files, root):
            if isinstance(files, _local()):
                files.makedirs(root, exist_ok=True)
            files.pipe_file(f"{root}/{PROBE}", b"")
            files.rm_file(f"{root}/{PROBE}")

    def fetch_newest(self, workspace: Path) -> bool:
        """Download the newest whole checkpoint into ``workspace``; tell whether there was one.

        Raises:
            InputError: When the store can't be read.
        """
        with self._reached() as (files, root):
            for name in self._sealed(files, root):
                if self._download(files, f"{root}/{name}", workspace / name):
                    say(f"{name} comes from {self.place}")
                    return True
        return False

    @property
    def place(self) -> str:
        """The training's folder as messages show it."""
        return f"{shown(self.url).rstrip('/')}/{self.training}"

    @contextmanager
    def _reached(self) -> Iterator[tuple[Any, str]]:
        """Give the fsspec file system and the path of the training's folder in it; say its faults in one line."""
        files, root = self._open()
        try:
            with faults_of(self.place):
                yield files, root
        except InputError as error:
            raise InputError(
                error.fact,
                place=self.place,
                mend="check training.checkpoint_store, the network and the credentials",
            ) from error

    def _open(self) -> tuple[Any, str]:
        import fsspec

        protocol = self.url.partition("://")[0].rpartition("::")[2]
        try:
            files, root = fsspec.core.url_to_fs(self.url)
        except ImportError as error:
            package = CLOUD_PACKAGES.get(protocol, protocol)
            raise MissingExtraError(f"{protocol}:// ({package})", "cloud") from error
        except ValueError as error:
            raise InputError(
                f"is no place for checkpoints ({first_line(error)})",
                place="training.checkpoint_store",
                mend="give a URL such as s3://bucket/checkpoints, or null",
            ) from error
        files.invalidate_cache()  # other machines write there too
        return files, f"{root.rstrip('/')}/{self.training}"

    def _upload(self, folder: Path, files: Any, target: str) -> None:  # noqa: ANN401
        if files.exists(f"{target}/{SEAL}"):
            files.rm_file(f"{target}/{SEAL}")
        for name in (*read_json(folder / SEAL)["files"], SEAL):
            path = f"{target}/{name}"
            if isinstance(files, _local()):
                files.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
            files.put_file(str(folder / name), path)

    def _download(self, files: Any, source: str, target: Path) -> bool:  # noqa: ANN401
        """Copy one checkpoint beside its place, check it, and put it there; tell whether it was sound."""
        with writing_folder(target) as folder:
            for path in files.find(source):
                name = PurePosixPath(path).relative_to(source)
                if ".." in name.parts:
                    continue
                place = folder / name
                place.parent.mkdir(parents=True, exist_ok=True)
                files.get_file(path, str(place))
            problem, _ = check(folder)
        if problem:
            say(f"{target.name} in {self.place} is damaged ({problem})")
            shutil.rmtree(target)
        return not problem

    def _prune(self, files: Any, root: str, keep: int) -> None:  # noqa: ANN401
        """Remove all but the newest checkpoints, and uploads older than them that were cut off."""
        files.invalidate_cache()
        sealed = list(self._sealed(files, root))
        kept = set(sealed[:keep])
        oldest = min(map(age, kept))
        for name in self._folders(files, root):
            if name not in kept and (name in sealed or age(name) < oldest):
                if name in sealed:
                    files.rm_file(f"{root}/{name}/{SEAL}")
                files.rm(f"{root}/{name}", recursive=True)

    def _sealed(self, files: Any, root: str) -> Iterator[str]:  # noqa: ANN401
        """Yield the names of sealed checkpoints, newest first."""
        for name in sorted(self._folders(files, root), key=age, reverse=True):
            if files.exists(f"{root}/{name}/{SEAL}"):
                yield name

    def _folders(self, files: Any, root: str) -> list[str]:  # noqa: ANN401
        """Return the names of folders that are checkpoints by name."""
        if not files.exists(root):
            return []
        names = [PurePosixPath(path).name for path in files.ls(root, detail=False)]
        return [name for name in names if name == FINISHED or NUMBERED.fullmatch(name)]


def _local() -> type[Any]:
    """Return fsspec's local file system, the one whose ``put_file`` makes no folders."""
    from fsspec.implementations.local import LocalFileSystem

    found: type[Any] = LocalFileSystem
    return found
