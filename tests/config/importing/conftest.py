"""Files of other tools, imported as a user would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tunewright.config.importing.converting import import_config

if TYPE_CHECKING:
    from tunewright.config.importing.outcome import Imported


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., Imported]:
    """Import text, or values, as a file of a tool: ``imported("trl", {...}, objective="dpo")``."""

    def call(
        tool: str, content: str | dict[Any, Any], *, name: str = "theirs.yaml", **options: Any
    ) -> Imported:
        file = tmp_path / name
        if isinstance(content, dict):
            content = json.dumps(content) if file.suffix == ".json" else yaml.safe_dump(content)
        file.write_text(content, encoding="utf-8")
        return import_config(tool, file, root=tmp_path, **options)

    return call
