"""Make a project: configuration, notebooks, job configurations, ignore rules, git and DVC repositories."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

from tunewright.pipeline.project import Project
from tunewright.support.console import say
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import write_text
from tunewright.support.paths import CONFIG, ProjectPaths

TEMPLATES = ("notebooks", "jobs")
"""Folders of files that a new project gets."""
SUFFIXES = (".ipynb", ".yaml")

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


def create(folder: Path, *, source: str | None = None, demo: bool = False) -> Project:
    """Make a project: configuration, ignore rules, git and DVC repositories.

    Raises:
        InputError: When the folder holds a project already, can't name one, or git is missing.
    """
    root = folder.resolve()
    if source and demo:
        raise InputError("can't be used together", place="--source and --demo", mend="give one of them")
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
    given = _copy_templates(root)
    _write_ignores(root)
    made = _initialise_repositories(root)
    write_text(root / CONFIG, TEMPLATE.format(name=name, source=_yaml_word(_from_root(source, root))))
    if made:
        _commit_start(root, given)
    return Project(ProjectPaths(root))


def _copy_demo(root: Path) -> str:
    text = (resources.files("tunewright") / "demo" / "messages.csv").read_text(encoding="utf-8")
    target = root / "data" / "raw" / "messages.csv"
    if not target.exists():
        write_text(target, text)
    return "data/raw/messages.csv"


def _copy_templates(root: Path) -> list[str]:
    """Give the project its first notebooks and job configurations; what stands there already stays.

    Returns:
        The paths of those that were given.
    """
    made = []
    for folder in TEMPLATES:
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
