"""Where the figures of a run go while it is under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

GivesUp = Callable[[Sequence[Mapping[str, float]]], bool]
"""Takes one entry an epoch so far (``epoch``, ``step`` and the ``validation/…`` figures); True ends the training."""


class Recorder(Protocol):
    """Anything that takes figures and tables with their optimiser step (an MLflow run, a list in a test)."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record ``values`` (name to figure) at ``step``, counted from 1."""
        ...

    def table(self, name: str, rows: Sequence[Mapping[str, str]], step: int) -> None:
        """Record rows that a person reads, such as answers to some prompts at ``step``; each has the same columns.

        A step that the table has already is left alone, so that a resumed training may tell it again.
        """
        ...
