"""Find the data of a commit, a run, a model version or a digest, and open it as it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.data.dataset import MANIFEST, Manifest
from tunewright.pipeline import history
from tunewright.pipeline.dvc_yaml import load_yaml
from tunewright.pipeline.dvcfile import LOCK_FILE
from tunewright.pipeline.repository import Repository
from tunewright.pipeline.steps import BY_NAME, DATA
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import read_json

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.support.paths import ProjectPaths

LATEST = "latest"
SHORTEST = 6
"""Characters of a digest or an id that are enough to name one."""
RUN_ID_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class DataVersion:
    """The data as a commit's pointers name it."""

    commit: str
    asked: str
    """The words with which the user named it."""
    stages: dict[str, Any]
    """The commit's ``dvc.lock``, by stage."""

    def digest_of(self, path: str) -> str:
        """Return DVC's hash of one output.

        Raises:
            InputError: When the commit doesn't point to it.
        """
        for stage in self.stages.values():
            for out in stage.get("outs", []):
                if out["path"] == path:
                    return str(out["md5"])
        raise InputError(
            f"points to no {path}", place=f"commit {self.commit[:10]}", mend="`tunewright data log`"
        )

    def settings(self) -> dict[str, object]:
        """Return what the steps that made the data had read from the recipe, by dotted name."""
        found: dict[str, object] = {}
        for name, stage in self.stages.items():
            if name in BY_NAME and BY_NAME[name].cached:
                for values in stage.get("params", {}).values():
                    found |= values
        return found


def find(words: str, paths: ProjectPaths, recipe: Recipe) -> DataVersion:
    """Find a data version.

    Args:
        words: A git revision; ``latest``; the first characters of a data digest; the id of a run; or a model version
            (``NAME/3``, ``NAME@champion``, ``models:/NAME/3``).
        paths: The project.
        recipe: Says where runs and models are recorded.

    Raises:
        InputError: When the words name none.
    """
    repository = Repository(paths.root)
    commit = (
        _by_digest(words, repository)
        or _by_run(words, repository)
        or (None if _names_a_model(words) else repository.resolve(words))
        or _by_tracking(words, repository, paths, recipe)
    )
    if commit is None:
        raise InputError("names no data version", place=f"'{words}'", mend="`tunewright data log` lists them")
    return at(commit, repository, words)


def at(commit: str, repository: Repository, asked: str = "") -> DataVersion:
    """Open the pointers of a commit.

    Raises:
        InputError: When it has none.
    """
    text = repository.read(commit, LOCK_FILE)
    stages = (load_yaml(text) or {}).get("stages", {}) if text else {}
    if not stages:
        raise InputError(
            "points to no data",
            place=f"commit {commit[:10]}",
            mend="`tunewright data log` lists those that do",
        )
    return DataVersion(commit, asked or commit, stages)


def files(version: DataVersion, path: str, paths: ProjectPaths) -> dict[str, Path]:
    """Find the bytes of one of a version's outputs, in the cache or, when they aren't there, on the remote.

    Returns:
        By path within the output, where its bytes lie; they must not be written to.

    Raises:
        TunewrightError: When neither the cache nor the remote holds them.
    """
    from tunewright.pipeline.dvc_remotes import default_remote, fetch, files_of

    digest = version.digest_of(path)
    found = files_of(paths.root, digest)
    if found is None and default_remote(paths.root):
        fetch(paths.root, (path,), revision=version.commit)
        found = files_of(paths.root, digest)
    if found is None:
        raise TunewrightError(
            f"neither the cache nor a remote holds {path} of commit {version.commit[:10]}",
            place=str(paths.root),
            mend="`tunewright data pull` where it was pushed",
        )
    return found


def manifest(version: DataVersion, paths: ProjectPaths) -> Manifest:
    """Read a version's manifest."""
    return Manifest.model_validate(read_json(files(version, DATA, paths)[MANIFEST]))


def _by_digest(words: str, repository: Repository) -> str | None:
    versions = history.commits(repository, step="split")
    if words == LATEST:
        return versions[0].commit if versions else None
    if len(words) < SHORTEST:
        return None
    return next((each.commit for each in versions if each.digest.startswith(words)), None)


def _by_run(words: str, repository: Repository) -> str | None:
    """Find a run that made data itself."""
    if len(words) != RUN_ID_CHARACTERS:
        return None
    return next((each.commit for each in history.commits(repository) if each.run_id == words), None)


def _names_a_model(words: str) -> bool:
    return words.startswith("models:/") or "@" in words


def _by_tracking(words: str, repository: Repository, paths: ProjectPaths, recipe: Recipe) -> str | None:
    """Find the data of a model version, or of a run that read data, by the digest on the run."""
    from mlflow.exceptions import MlflowException

    from tunewright.registry.references import find_version
    from tunewright.registry.tracking import PREFIX, connect

    tracking = connect(recipe, paths)
    try:
        is_run = len(words) == RUN_ID_CHARACTERS and "/" not in words
        run_id = words if is_run else find_version(tracking, words).run_id
        tags = tracking.client.get_run(run_id).data.tags
    except (InputError, MlflowException):
        return None
    known = history.find_digest(repository, "split", tags.get(PREFIX + "data_digest", ""))
    return known.commit if known else None
