"""tunewright: from raw text to a fine-tuned transformer that is compared, certified and promoted.

The names below are loaded on first use, so that importing the package stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tunewright.support.environment import prepare_environment

prepare_environment()

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tunewright.config.compose import compose
    from tunewright.config.schema import Recipe
    from tunewright.data.dataset import Dataset
    from tunewright.pipeline.new_project import create
    from tunewright.pipeline.project import Project
    from tunewright.support.errors import InputError, TunewrightError

__all__ = ["Dataset", "InputError", "Project", "Recipe", "TunewrightError", "compose", "create"]

_HOMES = {
    "Dataset": "tunewright.data.dataset",
    "InputError": "tunewright.support.errors",
    "Project": "tunewright.pipeline.project",
    "Recipe": "tunewright.config.schema",
    "TunewrightError": "tunewright.support.errors",
    "compose": "tunewright.config.compose",
    "create": "tunewright.pipeline.new_project",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute may be anything
    """Load a public name from its room."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tunewright' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
