"""Commits of pointer files to the project's git repository, beside whatever its user is doing there.

The commit is built in an index of its own (gitcore-tutorial(7), ``GIT_INDEX_FILE``), so that what the user has staged,
changed or left untracked stays as it was. It is put on the current branch, or on a detached HEAD, by a
compare-and-swap, so that a commit the user makes in the same moment is never lost. Hooks don't run: these commits hold
nothing that a person wrote.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunewright.support.errors import InputError, TunewrightError

TIMEOUT_S = 60.0
ATTEMPTS = 20
WAIT_S = 0.1
EMPTY = "0" * 40
"""What git calls a reference that doesn't exist yet."""


class GitError(TunewrightError):
    """Git refused something."""


PUSH_MEND = "`git pull --rebase`, then `git push`; nothing was forced"


@dataclass(frozen=True, slots=True)
class Logged:
    """A commit and the facts that its trailers hold."""

    commit: str
    when: str
    """ISO 8601, with the time zone."""
    facts: dict[str, str]


@dataclass(frozen=True, slots=True)
class Repository:
    """The git repository that holds a project."""

    root: Path
    """The project's folder: the repository's own or one below it."""

    def head(self) -> str | None:
        """Return the id of the current commit; ``None`` in a repository without one."""
        return self._try("rev-parse", "--verify", "--quiet", "HEAD")

    def resolve(self, revision: str) -> str | None:
        """Return the full id of the commit that a branch, tag or (short) id names; ``None`` when there is none."""
        return self._try("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")

    def read(self, commit: str, path: str) -> str | None:
        """Return a file, ``path`` below ``root``, as it was in a commit; ``None`` when it had none."""
        return self._try("cat-file", "blob", f"{commit}:./{path}")

    def is_committed(self, paths: Sequence[str]) -> bool:
        """Tell whether some files are in the current commit as they are on disk."""
        return self._try("status", "--porcelain", "--", *paths) == ""

    def log(self, trailers: Sequence[str], *, most: int = 0) -> list[Logged]:
        """List the commits up to the current one that carry the first of some trailers, newest first.

        Args:
            trailers: Names of the trailers to read.
            most: Stop after so many commits; 0 reads all.
        """
        if self.head() is None:
            return []
        fields = ["%H", "%cI", *(f"%(trailers:key={name},valueonly,separator=%x2C)" for name in trailers)]
        limit = [f"--max-count={most}"] if most else []
        text = self._git("log", *limit, f"--grep=^{trailers[0]}: ", f"--format={'%x1F'.join(fields)}%x1E")
        found = []
        for record in filter(None, (part.strip("\n") for part in text.split("\x1e"))):
            commit, when, *values = record.split("\x1f")
            found.append(Logged(commit, when, dict(zip(trailers, values, strict=True))))
        return found

    def push(self) -> str:
        """Push the current branch to where it goes by itself, never by force.

        Returns:
            The branch.

        Raises:
            GitError: When there is nowhere to push to, the other side refuses, or it can't be reached.
        """
        branch = self._try("symbolic-ref", "--quiet", "--short", "HEAD")
        if branch is None:
            raise GitError(
                "HEAD is detached, so there is no branch to push",
                place=str(self.root),
                mend="`git switch` to one",
            )
        done = self._run(("push", "--porcelain"), None)
        if done.returncode != 0:
            raise GitError(f"the push was refused ({_why(done)})", place=f"branch {branch}", mend=PUSH_MEND)
        return branch

    def commit(
        self,
        paths: Sequence[str],
        message: str,
        *,
        trailers: Mapping[str, str] | None = None,
        even_if_empty: bool = False,
    ) -> str | None:
        """Commit some files as they are on disk, and nothing else.

        Args:
            paths: Files below ``root``; one that is absent is removed from the repository.
            message: The subject line.
            trailers: Facts for programs, added as git trailers (git-interpret-trailers(1)).
            even_if_empty: Commit the message and its facts when the files are committed already as they are.

        Returns:
            The new commit's id; ``None`` when the files are already committed as they are.

        Raises:
            InputError: When git doesn't know whose commits these are.
            GitError: When git fails.
        """
        lines = [
            message,
            *([""] if trailers else []),
            *(f"{key}: {value}" for key, value in (trailers or {}).items()),
        ]
        for _ in range(ATTEMPTS):
            parent = self.head()
            tree = self._tree(parent, paths)
            if parent and not even_if_empty and tree == self._git("rev-parse", f"{parent}^{{tree}}"):
                return None
            made = self._commit_tree(tree, parent, "\n".join(lines))
            if self._try("update-ref", "-m", f"commit: {message}", "HEAD", made, parent or EMPTY) is not None:
                self._refresh_index(paths)
                return made
        raise GitError(
            "other commits keep coming in between", place=str(self.root), mend="run the same command again"
        )

    def _tree(self, parent: str | None, paths: Sequence[str]) -> str:
        """Write the tree of ``parent`` with ``paths`` as they are on disk."""
        with tempfile.TemporaryDirectory(prefix="tunewright-index-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._git("read-tree", parent or "--empty", env=index)
            present = [path for path in paths if (self.root / path).is_file()]
            absent = [path for path in paths if path not in present]
            if present:
                self._git("update-index", "--add", "--", *present, env=index)
            if absent:
                self._git("update-index", "--force-remove", "--", *absent, env=index)
            return self._git("write-tree", env=index)

    def _commit_tree(self, tree: str, parent: str | None, message: str) -> str:
        """Make the commit object, signed where the user signs."""
        if self._try("var", "GIT_COMMITTER_IDENT") is None:
            raise InputError(
                "git doesn't know whose commits these are",
                place=str(self.root),
                mend='`git config user.name "Your Name"` and `git config user.email you@example.org`',
            )
        signs = self._try("config", "--type=bool", "--get", "commit.gpgSign") == "true"
        options = [*(["-S"] if signs else []), *(["-p", parent] if parent else [])]
        return self._git("commit-tree", *options, "-m", message, tree)

    def _refresh_index(self, paths: Sequence[str]) -> None:
        """Let the user's index agree with the commit about ``paths``, waiting for a git command of theirs to end."""
        for attempt in range(ATTEMPTS):
            if self._try("reset", "--quiet", "HEAD", "--", *paths) is not None:
                return
            time.sleep(WAIT_S * min(attempt + 1, 5))
        raise GitError(
            "the index is locked by another git command",
            place=str(self.root),
            mend=f"when it has ended: `git reset HEAD -- {' '.join(paths)}`",
        )

    def _git(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Run git and return what it says."""
        done = self._run(arguments, env)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            raise GitError(f"git {arguments[0]} failed ({lines[0]})", place=str(self.root))
        return done.stdout.strip()

    def _try(self, *arguments: str) -> str | None:
        """Run git and return what it says; ``None`` when it refuses."""
        done = self._run(arguments, None)
        return done.stdout.strip() if done.returncode == 0 else None

    def _run(
        self, arguments: Sequence[str], env: Mapping[str, str] | None
    ) -> subprocess.CompletedProcess[str]:
        """Run git in the project, never asking anything."""
        try:
            return subprocess.run(
                ["git", "--literal-pathspecs", *arguments],
                cwd=self.root,
                env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **(env or {})},
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise InputError(
                "git is not installed", mend="install it: a project is a git repository"
            ) from None
        except subprocess.TimeoutExpired as error:
            raise GitError(
                f"git {arguments[0]} didn't end in {TIMEOUT_S:.0f} s", place=str(self.root)
            ) from error


def _why(done: subprocess.CompletedProcess[str]) -> str:
    """Find the line in which git says why it didn't push; URLs in it may hold credentials."""
    from tunewright.registry.tracking import without_credentials

    refused = [line.split("\t")[-1] for line in done.stdout.splitlines() if line.startswith("!")]
    said = [line for line in done.stderr.splitlines() if line.startswith(("fatal:", "error:"))]
    return without_credentials((refused or said or [f"status {done.returncode}"])[0])
