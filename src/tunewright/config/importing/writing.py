"""Write an imported recipe as a project's ``configs/config.yaml``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.config.importing.converting import nested
from tunewright.support.errors import InputError
from tunewright.support.files import write_text
from tunewright.support.paths import CONFIG

if TYPE_CHECKING:
    from tunewright.config.importing.outcome import Imported

HEAD = """# Made from {file} of {tool} by `tunewright import`; a comment names the key that a value comes from.
# `tunewright config show` prints the whole recipe.
defaults:
{groups}
  - _self_

project: {project} # name of the MLflow experiment and of the registered model
"""
GROUPS = {"evaluation": "default", "registry": "local", "orchestration": "default"}
"""Groups that no other tool's configuration has to do with."""


def target_of(to: Path) -> Path:
    """Return the file that ``--to`` means: a ``.yaml`` file, a ``configs`` folder, or a project's folder."""
    if to.suffix in (".yaml", ".yml"):
        return to
    return to / CONFIG.name if to.name == CONFIG.parent.name else to / CONFIG


def root_of(target: Path) -> Path:
    """Return the folder of the project that a configuration belongs to."""
    folder = target.resolve().parent
    return folder.parent if folder.name == CONFIG.parent.name else folder


def project_of(folder_or_file: Path) -> str:
    """Make a project's name from that of a folder or file."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder_or_file.stem).strip("-._")
    return name[:100] or "imported"


def as_yaml(imported: Imported, *, project: str) -> str:
    """Return the recipe as YAML: the groups that it starts from, and what differs from them."""
    groups = {**imported.groups, **GROUPS}
    head = HEAD.format(
        file=" ".join(imported.file.name.split()),
        tool=imported.tool,
        groups="\n".join(f"  - {name}: {option}" for name, option in groups.items()),
        project=_scalar(project),
    )
    origins = _origins(imported)
    body = ""
    for name, value in nested(imported.values).items():
        lines = _lines(name, value, "", origins)
        body += ("\n" if isinstance(value, Mapping) else "") + "\n".join(lines) + "\n"
    return head + body


def write(imported: Imported, target: Path, *, force: bool = False) -> None:
    """Write the recipe atomically.

    Raises:
        InputError: When the file exists and isn't to be replaced, or is a folder.
    """
    if target.is_dir():
        raise InputError("is a folder", place=str(target), mend="give a file's name")
    if target.exists() and not force:
        raise InputError("exists already", place=str(target), mend="give another file, or add --force")
    write_text(target, as_yaml(imported, project=project_of(root_of(target))))


def _origins(imported: Imported) -> dict[str, str]:
    """Say of each value of the recipe where it comes from."""
    origins: dict[str, str] = {}
    for each in imported.findings:
        if each.outcome in ("taken", "default"):
            for key in each.sets:
                origins[key] = f"{origins[key]}, {each.key}" if key in origins else each.key
    for assumed in imported.assumptions:
        origins[assumed.target] = f"{imported.tool} without {assumed.key}"
    return origins


def _lines(name: str, value: Any, prefix: str, origins: Mapping[str, str]) -> list[str]:  # noqa: ANN401
    indent = "  " * prefix.count(".")
    if isinstance(value, Mapping):
        below = [_lines(inner, each, f"{prefix}{name}.", origins) for inner, each in value.items()]
        return [f"{indent}{name}:", *(line for lines in below for line in lines)]
    return [f"{indent}{name}: {_scalar(value)} # {origins[prefix + name]}"]


def _scalar(value: Any) -> str:  # noqa: ANN401
    """Write one value on one line, so that OmegaConf reads it as it is."""
    import yaml

    style = None
    if isinstance(value, str):
        value = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
        # OmegaConf reads 1e3 as a number, which PyYAML writes as plain text.
        style = None if value[:1].isalpha() else '"'
    written: str = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, width=2**30, default_style=style
    )
    return written.removesuffix("...\n").strip()
