"""Where the figures of a run go while it is under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

GivesUp = Callable[[Sequence[Mapping[str, float]]], bool]
"""Takes one entry an epoch so far (``epoch``, ``step`` and the ``validation/…`` figures); True ends the training."""


class Recorder(Protocol):
    """Anything that takes figures with the optimiser step they belong to (an MLflow run, a list in a test)."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record ``values`` (name to figure) at ``step``, counted from 1."""
        ...
