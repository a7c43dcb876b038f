"""The state of the project's git repository, read through the ``git`` program."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MAX_DIFF_CHARACTERS = 200_000
TIMEOUT_S = 30.0
# What a run itself writes is not a change of its inputs, and files with secrets stay out of every record.
WRITTEN = ("dvc.lock", "dvc.yaml", "params.json", "models", "reports")
LEFT_OUT = (
    *(f":(exclude){name}" for name in WRITTEN),
    ":(exclude,glob)**/.env",
    ":(exclude,glob)**/.env.*",
)


@dataclass(frozen=True, slots=True)
class GitState:
    """What was checked out; without git or outside a repository ``commit`` is None."""

    commit: str | None = None
    branch: str | None = None
    dirty: bool = False
    """Tracked files differ from the commit, or ``configs/`` holds files that git doesn't know."""
    diff: str = ""
    """The change against the commit, cut at ``MAX_DIFF_CHARACTERS``."""


def git_state(root: Path) -> GitState:
    """Read commit, branch and uncommitted change of the repository that holds ``root``.

    Args:
        root: A folder in the repository; only changes below it count.

    Returns:
        The state; empty where git is absent, ``root`` is in no repository, or git doesn't answer.
    """
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    if not commit:
        return GitState()
    branch = _git(root, "rev-parse", "--abbrev-ref", "HEAD") or ""
    tracked = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *LEFT_OUT) or ""
    new = _git(root, "ls-files", "--others", "--exclude-standard", "--", "configs") or ""
    diff = (
        (_git(root, "diff", "HEAD", "--no-color", "--no-ext-diff", "--", ".", *LEFT_OUT) or "")
        if tracked
        else ""
    )
    return GitState(
        commit=commit.strip(),
        branch=branch.strip(),
        dirty=bool(tracked.strip() or new.strip()),
        diff=_bounded(diff + "".join(f"# new file: {name}\n" for name in new.split("\n") if name)),
    )


def _bounded(text: str) -> str:
    """Cut a long change and say how much is missing."""
    if len(text) <= MAX_DIFF_CHARACTERS:
        return text
    return (
        f"{text[:MAX_DIFF_CHARACTERS]}\n# {len(text) - MAX_DIFF_CHARACTERS} more characters were left out\n"
    )


def _git(root: Path, *arguments: str) -> str | None:
    """Run one git command; None when it fails."""
    program = _program()
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "-C", str(root), *arguments],
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


@cache
def _program() -> str | None:
    """Return the path of git."""
    return shutil.which("git")
