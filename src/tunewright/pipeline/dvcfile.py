"""Write ``dvc.yaml`` and ``params.json`` from the table of steps and the recipe.

With them ``dvc repro``, ``dvc status``, ``dvc push`` and ``dvc pull`` work for people who never heard of tunewright.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.config.compose import validate
from tunewright.pipeline.dvc_yaml import dump_yaml, load_yaml
from tunewright.pipeline.steps import SOURCE, STEPS, Step, table
from tunewright.support.errors import InputError
from tunewright.support.files import read_json, write_text

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.support.paths import ProjectPaths

DVC_FILE = "dvc.yaml"
LOCK_FILE = "dvc.lock"
PARAMS_FILE = "params.json"
"""JSON, because DVC reads it once a stage: ten times faster than YAML."""
FINGERPRINT = "data/source.json"
"""Identity of a remote source; it stands in for a dependency that DVC can't hash on this disk."""

HEADER = "# Written by `tunewright run`; change configs/ instead.\n"


def stage(step: Step, source: tuple[str, ...], root: Path) -> dict[str, Any]:
    """Return the DVC stage of one step.

    Args:
        step: Which.
        source: The dependencies that stand for the user's data.
        root: The project, for what a step takes only where it is there.
    """
    takes = [path for name in step.takes for path in (source if name == SOURCE else (name,))]
    takes += [*step.files, *(path for path in step.may_take if (root / path).exists())]
    # A plain output is removed by DVC before its stage runs unless it persists; ours are replaced atomically.
    outs: list[Any] = [{path: {"persist": True}} for path in step.cached]
    outs += [{path: {"cache": False, "persist": True}} for path in step.plain]
    return {
        "cmd": f"tunewright step {step.name}",
        "desc": step.summary,
        "deps": takes,
        "params": [{PARAMS_FILE: [*step.params, f"steps.{step.name}"]}],
        "outs": outs,
    }


def pipeline(source: tuple[str, ...], root: Path, steps: tuple[Step, ...] = STEPS) -> dict[str, Any]:
    """Return the content of ``dvc.yaml``."""
    return {"stages": {step.name: stage(step, source, root) for step in steps}}


def write_pipeline(root: Path, recipe: Recipe, source: tuple[str, ...]) -> None:
    """Write both files where their content differs, so that an unchanged project stays untouched."""
    steps = table(recipe)
    params = {**recipe.model_dump(mode="json"), "steps": {step.name: step.version for step in steps}}
    _write_if_new(root / PARAMS_FILE, json.dumps(params, indent=2, ensure_ascii=False) + "\n")
    _write_if_new(root / DVC_FILE, HEADER + dump_yaml(pipeline(source, root, steps)))


def recorded_source(paths: ProjectPaths) -> tuple[str, ...]:
    """Return the dependencies that stood for the source when the data was last recorded."""
    lock = load_yaml((paths.root / LOCK_FILE).read_text(encoding="utf-8"))
    first = STEPS[0]
    names = (str(dependency["path"]) for dependency in lock["stages"][first.name]["deps"])
    return tuple(name for name in names if name not in first.may_take)


def _write_if_new(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def read_recipe(root: Path) -> Recipe:
    """Read the recipe of the last run back from ``params.json``.

    Raises:
        InputError: When there was no run yet, or the file was damaged.
    """
    path = root / PARAMS_FILE
    values = read_json(path, mend="`tunewright run` writes it")
    if not isinstance(values, dict):
        raise InputError("is not a mapping", place=str(path), mend="`tunewright run` writes it anew")
    return validate({key: value for key, value in values.items() if key != "steps"}, origin=str(path))
