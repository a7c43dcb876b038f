"""A user's project: made, opened, run, asked."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.support.errors import InputError
from tunewright.support.files import write_text
from tunewright.support.paths import CONFIG, ProjectPaths

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.data.dataset import Dataset
    from tunewright.models.classifier import Prediction
    from tunewright.pipeline.runner import Choice
    from tunewright.pipeline.summary import Outcome

TEMPLATE = """# The project's recipe. `tunewright config show` prints it in full;
# `tunewright config groups` lists the options.
# A file such as configs/training/mine.yaml adds an option of your own: `tunewright run training=mine`.
defaults:
  - data: default
  - model: minilm
  - training: full
  - evaluation: default
  - registry: local
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
"""


@dataclass(frozen=True, slots=True)
class Project:
    """One project on disk."""

    paths: ProjectPaths

    @classmethod
    def open(cls, start: Path | None = None) -> Project:
        """Open the project that holds ``start`` (default: the working directory) and read its ``.env``.

        A project that has been moved since the last time finds its local models again.

        Raises:
            InputError: When there is none.
        """
        from tunewright.config.dotenv import load_dotenv_file
        from tunewright.registry.relocation import follow_move

        paths = ProjectPaths.find(start)
        load_dotenv_file(paths.root)
        follow_move(paths.state)
        return cls(paths)

    def compose(self, overrides: Sequence[str] = ()) -> Recipe:
        """Compose the recipe from the project's configuration and overrides."""
        from tunewright.config.compose import compose

        return compose(overrides, configs=self.paths.configs)

    def last_recipe(self) -> Recipe:
        """Return the recipe of the last run, or the composed one when nothing ran yet."""
        from tunewright.pipeline.dvcfile import PARAMS_FILE, read_recipe

        return read_recipe(self.paths.root) if (self.paths.root / PARAMS_FILE).is_file() else self.compose()

    def run(self, overrides: Sequence[str] = (), *, choice: Choice | None = None) -> Outcome:
        """Run the pipeline and summarise what came of it."""
        from tunewright.pipeline.runner import run
        from tunewright.pipeline.summary import summarise

        started = time.perf_counter()
        recipe = self.compose(overrides)
        steps = run(recipe, self.paths, choice)
        return summarise(recipe, self.paths, steps, seconds=time.perf_counter() - started)

    def run_until(self, step: str, overrides: Sequence[str] = ()) -> Outcome:
        """Run the steps up to and with ``step``."""
        from tunewright.pipeline.runner import Choice

        return self.run(overrides, choice=Choice(until=step))

    def dataset(self) -> Dataset:
        """Open the data set that the last run made."""
        from tunewright.data.dataset import Dataset

        return Dataset.load(self.paths.processed)

    def predict(self, texts: Sequence[str], *, model: str | None = None) -> list[Prediction]:
        """Classify texts with a registered model.

        Args:
            texts: What to classify.
            model: ``NAME[@alias|/version]``; the project's champion by default.
        """
        from tunewright.registry.models import load
        from tunewright.registry.tracking import connect

        recipe = self.last_recipe()
        return load(connect(recipe, self.paths), model or f"{recipe.model_name}@champion").predict(texts)


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
    _write_ignores(root)
    _initialise_repositories(root)
    write_text(root / CONFIG, TEMPLATE.format(name=name, source=_yaml_word(_from_root(source, root))))
    return Project(ProjectPaths(root))


def _copy_demo(root: Path) -> str:
    text = (resources.files("tunewright") / "demo" / "messages.csv").read_text(encoding="utf-8")
    target = root / "data" / "raw" / "messages.csv"
    if not target.exists():
        write_text(target, text)
    return "data/raw/messages.csv"


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


def _initialise_repositories(root: Path) -> None:
    """Make the folder a git repository of its own, and a DVC repository."""
    from tunewright.pipeline.dvc import initialise

    if not (root / ".git").exists():
        done = subprocess.run(
            ["git", "init", "--quiet", str(root)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise InputError(f"git init failed ({done.stderr.strip()})", place=str(root))
    initialise(root)
