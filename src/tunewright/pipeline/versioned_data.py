"""The data of a project over time: ``tunewright data log|show|diff|restore|release|push|pull|remote`` in Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.pipeline import data_versions, history, holding, restoring
from tunewright.pipeline.data_versions import LATEST
from tunewright.pipeline.repository import Repository
from tunewright.support.errors import TunewrightError
from tunewright.support.files import read_json

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.data.dataset import Manifest
    from tunewright.data.difference import Difference
    from tunewright.pipeline.dvc_remotes import Remote
    from tunewright.support.paths import ProjectPaths

READ = "data/interim/rows"
"""The rows as they were read: what a person who edits the source sees changed."""
DVC_CONFIG = ".dvc/config"


@dataclass(frozen=True, slots=True)
class Version:
    """One data version."""

    commit: str
    when: str
    step: str
    run_id: str
    digest: str
    is_current: bool
    """It is the data that lies in the project now."""


@dataclass(frozen=True, slots=True)
class VersionedData:
    """A project's data and its versions."""

    paths: ProjectPaths
    recipe: Recipe

    def log(self, *, every_step: bool = False) -> list[Version]:
        """List the versions of the data set, newest first; of what every step gave when asked for."""
        path = self.paths.processed / "manifest.json"
        current = read_json(path)["digest"] if path.is_file() else ""
        found = history.commits(Repository(self.paths.root), step=None if every_step else "split")
        return [
            Version(each.commit, each.when, each.step, each.run_id, each.digest, each.digest == current)
            for each in found
            if each.step != "models"
        ]

    def manifest(self, words: str = LATEST) -> Manifest:
        """Return the manifest of a version; see ``data_versions.find`` for what names one."""
        return data_versions.manifest(self._find(words), self.paths)

    def diff(self, before: str, after: str) -> Difference:
        """Compare the rows of two versions, as they were read from the source.

        Rows of a language model are compared whole where both versions hold such rows, else by what they say.
        """
        from tunewright.data.chat.stored import says_conversations
        from tunewright.data.difference import compare

        sides, summaries = [], []
        for words in (before, after):
            files = data_versions.files(self._find(words), READ, self.paths)
            sides.append([path for name, path in sorted(files.items()) if name.endswith(".parquet")])
            summaries.append(files["source.json"])
        return compare(*sides, conversations=all(map(says_conversations, summaries)))

    def restore(self, words: str, *, force: bool = False) -> restoring.Restored:
        """Bring a version's data back, prove it by its digest, and hold it until ``release``."""
        return restoring.restore(self._find(words), self.paths, force=force)

    def held(self) -> holding.Hold | None:
        """Return the version at which the data is held."""
        return holding.held(self.paths)

    def release(self) -> bool:
        """Let the data follow the source again; returns whether it was held."""
        return holding.release(self.paths)

    def push(self, *, all_versions: bool = False) -> int:
        """Send data to the default remote; returns how many files were sent.

        The branch goes too where ``data.versioning.git_push`` is on.
        """
        from tunewright.pipeline.dvc_remotes import push

        sent = push(self.paths.root, all_versions=all_versions)
        if self.recipe.data.versioning.git_push:
            Repository(self.paths.root).push()
        return sent

    def pull(self, *, force: bool = False) -> int:
        """Fetch the data that the present commit points to and put it in its place; returns the files fetched."""
        from tunewright.pipeline.dvc_remotes import checkout, default_remote, fetch

        fetched = fetch(self.paths.root) if default_remote(self.paths.root) else 0
        checkout(self.paths.root, force=force)
        restoring.redraw_card(self.paths)
        return fetched

    def remotes(self) -> tuple[Remote, ...]:
        """List the places where data is kept besides this disk."""
        from tunewright.pipeline.dvc_remotes import remotes

        return remotes(self.paths.root)

    def add_remote(
        self, name: str, url: str, options: Mapping[str, str], *, replace: bool = False
    ) -> str | None:
        """Add a remote, make it the default one, and commit ``.dvc/config``, so that clones know it.

        Returns:
            The reason why it could not be committed, if so.
        """
        from tunewright.pipeline.dvc_remotes import add_remote

        add_remote(self.paths.root, name, url, options, replace=replace)
        try:
            Repository(self.paths.root).commit([DVC_CONFIG], f"tunewright: Data goes to remote {name}")
        except TunewrightError as error:
            return str(error)
        return None

    def _find(self, words: str) -> data_versions.DataVersion:
        return data_versions.find(words, self.paths, self.recipe)
