"""Projects in git whose source lies inside and changes over time."""

from __future__ import annotations

import csv
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from projects import made

if TYPE_CHECKING:
    import pytest

CHANGED = 50


def know_ada(monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """Let git know Ada, and nothing of this machine's own configuration."""
    (home / ".gitconfig").write_text(
        "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{name}_NAME", raising=False)
        monkeypatch.delenv(f"GIT_{name}_EMAIL", raising=False)
    return home


def git(folder, *words):
    said = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return said.stdout.strip()


def make_template(folder: Path, base: Path, messages: str) -> Path:
    """Make a project with its source inside and an empty tracking store, whose making takes longest."""
    from tunewright import Project
    from tunewright.registry.tracking import connect

    made(folder, base, messages)
    source = source_of(folder)
    shutil.copy(folder.parent / "messages.csv", source)
    config = folder / "configs" / "config.yaml"
    config.write_text(
        config.read_text().replace(str(folder.parent / "messages.csv"), "data/raw/messages.csv")
    )
    shutil.rmtree(folder / ".git")
    project = Project.open(folder)
    connect(project.compose(), project.paths)
    return folder


def copied(template: Path, folder: Path) -> Path:
    """Copy a template and put it in git; nothing has run in it."""
    shutil.copytree(template, folder, symlinks=True)
    git(folder, "init", "--quiet")
    git(folder, "add", "configs", ".gitignore", ".dvcignore", ".dvc")
    git(folder, "commit", "--quiet", "-m", "start")
    return folder


def source_of(shop):
    return shop / "data" / "raw" / "messages.csv"


def relabel(source: Path, rows: int = CHANGED) -> None:
    """Give the first rows of a source other labels."""
    with source.open(newline="") as stream:
        head, *lines = list(csv.reader(stream))
    column = head.index("intent")
    labels = sorted({line[column] for line in lines})
    for line in lines[:rows]:
        line[column] = labels[(labels.index(line[column]) + 1) % len(labels)]
    with source.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([head, *lines])
