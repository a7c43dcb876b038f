"""The best recipe as an option of the project: ``tunewright run training=NAME`` trains it again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tunewright.config.compose import compose, groups
from tunewright.pipeline.search_space import SECTIONS, SearchSpace
from tunewright.support.console import say
from tunewright.support.digests import digest_bytes
from tunewright.support.errors import InputError
from tunewright.support.files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tunewright.config.schema import Recipe

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
HEADER = """# @package _global_
# tunewright run training={name}
# Found by `tunewright sweep`, which writes this file anew as long as nobody changes it ({digest}).
"""
DIGEST = re.compile(r"changes it \(([0-9a-f]{12})\)")
DIGEST_CHARACTERS = 12


def option_file(configs: Path, name: str) -> Path:
    """Return where the best recipe goes.

    Raises:
        InputError: When ``name`` can't name a file, or would hide an option that comes with the package.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            "is no name", place=f"--name {name}", mend="take letters, digits, - and _, such as --name rates"
        )
    if name in groups()["training"]:
        raise InputError(
            "is an option that comes with tunewright", place=f"--name {name}", mend="choose another name"
        )
    return configs / "training" / f"{name}.yaml"


def write_option(path: Path, recipe: Recipe, space: SearchSpace) -> bool:
    """Write the training section, and the model's where it was searched, as one option of the group ``training``.

    Returns:
        False when the file is somebody's own: then it is left as it is.
    """
    import yaml

    values = {name: recipe.model_dump(mode="json")[name] for name in _sections(space)}
    body = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    if path.exists() and not _is_ours(path):
        say(f"{path} is your own and stays as it is; the best recipe is in the report")
        return False
    digest = digest_bytes(body.encode())[:DIGEST_CHARACTERS]
    write_text(path, HEADER.format(name=path.stem, digest=digest) + body)
    return True


def overruled(path: Path, recipe: Recipe, space: SearchSpace, configs: Path) -> list[str]:
    """Return the keys that the project's ``config.yaml`` sets over the option, which then isn't the best recipe."""
    made = compose([*others(space), f"training={path.stem}"], configs=configs).model_dump()
    wanted = recipe.model_dump()
    return [key for name in _sections(space) for key in _different(made[name], wanted[name], f"{name}.")]


def others(space: SearchSpace) -> list[str]:
    """Return the overrides of all trials that the option doesn't hold."""
    held = _sections(space)
    return [word for word in space.fixed if word.lstrip("+~").split("=")[0].split(".")[0] not in held]


def _sections(space: SearchSpace) -> list[str]:
    searched = {each.key.split(".")[0] for each in space.dimensions}
    return [name for name in SECTIONS if name == "training" or name in searched]


def _is_ours(path: Path) -> bool:
    """Tell whether a file is as a sweep wrote it."""
    *header, body = path.read_text(encoding="utf-8", errors="replace").split("\n", HEADER.count("\n"))
    found = DIGEST.search("\n".join(header))
    return found is not None and digest_bytes(body.encode())[:DIGEST_CHARACTERS] == found[1]


def _different(made: Mapping[str, object], wanted: Mapping[str, object], prefix: str) -> list[str]:
    keys: list[str] = []
    for name, value in wanted.items():
        other = made[name]
        if isinstance(value, dict) and isinstance(other, dict):
            keys += _different(other, value, f"{prefix}{name}.")
        elif other != value:
            keys.append(prefix + name)
    return keys
