"""YAML as DVC reads it: version 1.2, by the library that it uses.

The difference matters: YAML 1.1, which PyYAML writes, leaves a hash like ``1234e56`` without quotes, and in 1.2 that
is a number. With ``ruamel.yaml.clib`` installed the parser and the emitter are those of libyaml, ten times as fast.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ruamel.yaml import YAML

WIDTH = 1000
"""Longer lines are broken; a path should not be."""


def load_yaml(text: str) -> Any:  # noqa: ANN401
    """Read a document; ``None`` when it is empty.

    Raises:
        ValueError: When it is not YAML.
    """
    from ruamel.yaml.error import YAMLError

    try:
        return _yaml().load(text)
    except YAMLError as error:
        raise ValueError(str(error)) from error


def dump_yaml(values: Any) -> str:  # noqa: ANN401
    """Write a document of plain mappings, lists and values, in the order that they have."""
    stream = io.StringIO()
    _yaml().dump(values, stream)
    return stream.getvalue()


def _yaml() -> YAML:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # declared as None alone
    yaml.width = WIDTH
    return yaml
