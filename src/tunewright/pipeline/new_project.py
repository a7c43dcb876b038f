"""Make a project: configuration, notebooks, job configurations, ignore rules, git and DVC repositories."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.pipeline.project import Project
from tunewright.support.console import say
from tunewright.support.errors import InputError, TunewrightError, nearest
from tunewright.support.files import write_text
from tunewright.support.paths import CONFIG, ProjectPaths

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

TEMPLATES = ("notebooks", "jobs")
"""Folders of files that a new project gets."""
SUFFIXES = (".ipynb", ".yaml")
PROJECT_CONFIG = "config.yaml"
ROWS_SUFFIXES = (".jsonl", ".txt")
NAME_IN_TEMPLATE = "PROJECT_NAME"
"""Stands in a template's configuration where the new project's name belongs."""

TEMPLATE = """# The project's recipe. `tunewright config show` prints it in full;
# `tunewright config groups` lists the options.
# A file such as configs/training/mine.yaml adds an option of your own: `tunewright run training=mine`.
defaults:
  - data: default
  - model: minilm
  - training: full
  - evaluation: default
  - registry: local
  - orchestration: default
  - serving: default
  - monitoring: default
  - _self_

project: {name} # name of the MLflow experiment and of the registered model
seed: 42 # splits, initial weights and order of rows

data:
  source: {source} # file, folder, fsspec URL (s3://, gs://, abfs://), or a Hugging Face data set id
"""

IGNORED = """/.tunewright/
/.env
/.env.*
/data/raw/
/data/incoming/
/data/refused/
/commit_history.json
.ipynb_checkpoints/
"""


def create(
    folder: Path, *, source: str | None = None, demo: bool = False, template: str | None = None
) -> Project:
    """Make a project: configuration, ignore rules, git and DVC repositories.

    Args:
        folder: Becomes the project; its name becomes the project's.
        source: What to train on.
        demo: Start with the bundled customer messages, for a classifier.
        template: Start with a bundled project for a language model (``templates()`` names them).

    Raises:
        InputError: When the folder holds a project already, can't name one, there is no such template, or git is
            missing.
    """
    root = folder.resolve()
    if sum(map(bool, (source, demo, template))) > 1:
        place = "--source, --demo and --template"
        raise InputError("can't be used together", place=place, mend="give one of them")
    if template is not None and template not in templates():
        known = nearest(template, templates()) or f"take one of {', '.join(templates())}"
        raise InputError("no such template", place=f"--template {template}", mend=known)
    if (root / CONFIG).exists():
        raise InputError("is a tunewright project already", place=str(folder), mend="`cd` into it and run")
    if root.is_file():
        raise InputError("is a file", place=str(folder), mend="choose another name")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", root.name).strip("-._")
    if not name:
        raise InputError(
            "has no letter or digit for a project's name", place=str(folder), mend="choose another name"
        )
    if shutil.which("git") is None:
        raise InputError("git is not installed", mend="install it: a project is a git repository")
    (root / "data" / "raw").mkdir(parents=True, exist_ok=True)
    if demo:
        source = _copy_demo(root)
    given = _copy_templates(root, only=None if template is None else "jobs")
    _write_ignores(root)
    made = _initialise_repositories(root)
    if template is None:
        write_text(root / CONFIG, TEMPLATE.format(name=name, source=_yaml_word(_from_root(source, root))))
    else:
        given += _copy_project(root, template, name)
    if made:
        _commit_start(root, given)
    return Project(ProjectPaths(root))


def _copy_demo(root: Path) -> str:
    text = (resources.files("tunewright") / "demo" / "messages.csv").read_text(encoding="utf-8")
    target = root / "data" / "raw" / "messages.csv"
    if not target.exists():
        write_text(target, text)
    return "data/raw/messages.csv"


def templates() -> list[str]:
    """Return the names of the bundled projects for language models."""
    return sorted(each.name for each in _projects().iterdir() if each.joinpath(PROJECT_CONFIG).is_file())


def _projects() -> Traversable:
    return resources.files("tunewright") / "templates" / "projects"


def _copy_project(root: Path, template: str, name: str) -> list[str]:
    """Give the project a template's configuration, its rows (below ``data/raw``) and its other files.

    Returns:
        The paths of those that git keeps.
    """
    made = []
    for given in (_projects() / template).iterdir():
        text = given.read_text(encoding="utf-8")
        if given.name == PROJECT_CONFIG:
            write_text(root / CONFIG, text.replace(NAME_IN_TEMPLATE, name))
            continue
        target = root / ("data/raw" if given.name.endswith(ROWS_SUFFIXES) else "") / given.name
        if not target.exists():
            write_text(target, text)
            made += [given.name] if target.parent == root else []
    return made


def _copy_templates(root: Path, *, only: str | None = None) -> list[str]:
    """Give the project its first notebooks and job configurations; what stands there already stays.

    Returns:
        The paths of those that were given.
    """
    made = []
    for folder in (only,) if only else TEMPLATES:
        for given in (resources.files("tunewright") / "templates" / folder).iterdir():
            target = root / folder / given.name
            if target.suffix in SUFFIXES and not target.exists():
                write_text(target, given.read_text(encoding="utf-8"))
                made.append(target.relative_to(root).as_posix())
    return made


def _from_root(source: str | None, root: Path) -> str | None:
    """Let a path that the user sees from here be found from the project."""
    if source and not (root / source).exists() and Path(source).exists():
        return str(Path(source).resolve())
    return source


def _yaml_word(value: str | None) -> str:
    import json

    return "null" if value is None else json.dumps(value, ensure_ascii=False)


def _write_ignores(root: Path) -> None:
    path = root / ".gitignore"
    present = path.read_text(encoding="utf-8") if path.exists() else ""
    missing = [line for line in IGNORED.splitlines() if line not in present.splitlines()]
    if missing:
        write_text(
            path,
            present + ("\n" if present and not present.endswith("\n") else "") + "\n".join(missing) + "\n",
        )


def _commit_start(root: Path, given: list[str]) -> None:
    """Commit what was written into a new repository, so that a clone of it is a project; data stays out."""
    from tunewright.pipeline.repository import Repository

    files = [CONFIG.as_posix(), ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore", *given]
    try:
        Repository(root).commit(
            [name for name in files if (root / name).is_file()], "tunewright: New project"
        )
    except TunewrightError as error:
        say(f"not committed: {error}")


def _initialise_repositories(root: Path) -> bool:
    """Make the folder a git repository of its own, and a DVC repository; return whether git was new to it."""
    from tunewright.pipeline.dvc import initialise

    is_new = not (root / ".git").exists()
    if is_new:
        done = subprocess.run(
            ["git", "init", "--quiet", str(root)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise InputError(f"git init failed ({done.stderr.strip()})", place=str(root))
    initialise(root)
    return is_new
