"""Where the figures of a run go while it is under way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Recorder(Protocol):
    """Anything that takes figures with the optimiser step they belong to (an MLflow run, a list in a test)."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record ``values`` (name to figure) at ``step``, counted from 1."""
        ...
