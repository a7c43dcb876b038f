"""The versions of the data set that can be read: their bytes in DVC's cache, or in the project itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.data.dataset import MANIFEST, SPLITS, Manifest
from tunewright.pipeline import data_versions, history
from tunewright.pipeline.data_steps import QUARANTINE
from tunewright.pipeline.dvc_remotes import files_of_each
from tunewright.pipeline.repository import Repository
from tunewright.pipeline.steps import DATA
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tunewright.data.dataset import SplitName
    from tunewright.pipeline.data_versions import DataVersion
    from tunewright.support.paths import ProjectPaths

CLEANED = "data/interim/clean"
"""Every row that could be read, with its text as it was judged: what the quarantine file cuts short stands here."""
OUTPUTS = (DATA, QUARANTINE, CLEANED)


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version of the data set and where its bytes lie; they must not be written to."""

    commit: str | None
    """None where its pointers are not committed."""
    when: str
    digest: str
    run_id: str
    is_current: bool
    """It is the data that lies in the project now."""
    files: dict[str, Path]
    """The data set's files by their path within it; none where they are not on this disk."""
    quarantine: Path | None
    cleaned: tuple[Path, ...]

    @property
    def is_here(self) -> bool:
        """Tell whether its bytes are on this disk."""
        return MANIFEST in self.files

    @property
    def is_complete(self) -> bool:
        """Tell whether what was set aside can be read too."""
        return self.quarantine is not None and bool(self.cleaned)

    def shards(self, splits: Sequence[SplitName] = SPLITS) -> Iterator[tuple[SplitName, Path]]:
        """Give the shards of some splits, in order."""
        for split in splits:
            for name in sorted(self.files):
                if name.startswith(f"{split}/") and name.endswith(".parquet"):
                    yield split, self.files[name]

    def manifest(self) -> Manifest:
        """Read what it says of itself."""
        return Manifest.model_validate(read_json(self.files[MANIFEST]))


@dataclass(frozen=True, slots=True)
class Stored:
    """All versions, oldest first."""

    versions: tuple[StoredVersion, ...]
    unread: tuple[history.Commit, ...]
    """Those whose bytes are not on this disk."""

    def find(self, commit: str | None) -> StoredVersion | None:
        """Return the version of a commit."""
        return next((each for each in self.versions if each.commit == commit), None)

    @property
    def current(self) -> StoredVersion | None:
        """The data that lies in the project now."""
        return next((each for each in reversed(self.versions) if each.is_current), None)


def stored_versions(paths: ProjectPaths, *, fetch: bool = False) -> Stored:
    """Open every version that a commit points to, and the present one though none does.

    Args:
        paths: The project.
        fetch: Fetch from the remote what is not on this disk.
    """
    repository = Repository(paths.root)
    commits = history.commits(repository, step="split")[::-1]
    opened = [(each, data_versions.at(each.commit, repository)) for each in commits]
    wanted = {_hash_of(version, path) for _, version in opened for path in OUTPUTS} - {""}
    known = files_of_each(paths.root, wanted) if wanted else {}
    present = _present_digest(paths)
    versions: list[StoredVersion] = []
    unread: list[history.Commit] = []
    for commit, version in opened:
        files = [known.get(_hash_of(version, path)) for path in OUTPUTS]
        if fetch:
            files = [
                each if each is not None else _fetched(version, path, paths)
                for path, each in zip(OUTPUTS, files, strict=True)
            ]
        if files[0] is not None:
            versions.append(_of(commit, files, is_current=commit.digest == present))
        elif commit.digest == present:
            versions.append(in_project(paths, commit))
        else:
            unread.append(commit)
    if present and present not in {commit.digest for commit in commits}:
        versions.append(in_project(paths))
    return Stored(tuple(versions), tuple(unread))


def open_version(version: DataVersion, paths: ProjectPaths, *, fetch: bool) -> StoredVersion:
    """Open one version; it has no files where its bytes are not on this disk.

    Args:
        version: Which.
        paths: The project.
        fetch: Fetch its data set from the remote where it isn't on this disk.

    Raises:
        TunewrightError: When it must be fetched and can't be had.
    """
    digests = [_hash_of(version, path) for path in OUTPUTS]
    known = files_of_each(paths.root, [digest for digest in digests if digest])
    files = [known.get(digest) for digest in digests]
    if files[0] is None and fetch:
        files[0] = data_versions.files(version, DATA, paths)
    present = _present_digest(paths)
    made = _made_by(version, Repository(paths.root), files[0])
    if files[0] is None and made.digest == present:
        return in_project(paths, made)
    return _of(made, files, is_current=made.digest == present)


def in_project(paths: ProjectPaths, commit: history.Commit | None = None) -> StoredVersion:
    """Open the data that lies in the project.

    Args:
        paths: The project.
        commit: The commit of its pointers, where there is one.
    """
    quarantine = paths.root / QUARANTINE
    return StoredVersion(
        commit.commit if commit else None,
        commit.when if commit else "",
        _present_digest(paths),
        commit.run_id if commit else "",
        True,
        files_below(paths.processed),
        quarantine if quarantine.is_file() else None,
        _parts(files_below(paths.root / CLEANED)),
    )


def _made_by(version: DataVersion, repository: Repository, files: dict[str, Path] | None) -> history.Commit:
    """Return the commit that the split step made of a version's data: itself, or an earlier one with the same data."""
    commits, data = history.commits(repository, step="split"), _hash_of(version, DATA)
    for each in commits:
        if each.commit == version.commit:
            return each
    for each in commits:
        if _hash_of(data_versions.at(each.commit, repository), DATA) == data:
            return each
    digest = str(read_json(files[MANIFEST])["digest"]) if files else ""
    return history.Commit(version.commit, "", "split", "", digest)


def _of(
    commit: history.Commit, files: Sequence[dict[str, Path] | None], *, is_current: bool
) -> StoredVersion:
    data, quarantine, cleaned = files
    return StoredVersion(
        commit.commit,
        commit.when,
        commit.digest,
        commit.run_id,
        is_current,
        data or {},
        quarantine[""] if quarantine else None,
        _parts(cleaned or {}),
    )


def files_below(folder: Path) -> dict[str, Path]:
    """List the files below a folder by their path within it."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _parts(files: dict[str, Path]) -> tuple[Path, ...]:
    return tuple(files[name] for name in sorted(files) if name.endswith(".parquet"))


def _present_digest(paths: ProjectPaths) -> str:
    path = paths.processed / MANIFEST
    return str(read_json(path)["digest"]) if path.is_file() else ""


def _hash_of(version: DataVersion, path: str) -> str:
    """Return DVC's hash of an output; empty where the commit doesn't point to it."""
    try:
        return version.digest_of(path)
    except InputError:
        return ""


def _fetched(version: DataVersion, path: str, paths: ProjectPaths) -> dict[str, Path] | None:
    """Fetch an output; ``None`` when it can't be had, which the trace says."""
    try:
        return data_versions.files(version, path, paths) if _hash_of(version, path) else None
    except TunewrightError:
        return None
