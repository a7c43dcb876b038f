"""Transformers itself: the reference, and what every architecture runs on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunewright.engines.interface import Generator, Scorer, Source, Task


class TransformersEngine:
    """The reference engine."""

    name = "transformers"
    packages = ("transformers", "torch")
    extra = ""

    def precisions(self, task: Task) -> tuple[str, ...]:  # noqa: ARG002 -- the same for all
        """Give fp32, and bf16 where the processor may gain from it."""
        return ("fp32", "bf16")

    def stored_as(self, precision: str) -> str:  # noqa: ARG002 -- the same for all
        """Weights are cast when they are read."""
        return "fp32"

    def refusal(self, source: Source, precision: str) -> str:  # noqa: ARG002 -- it runs whatever was trained
        """Refuse nothing: it runs whatever was trained."""
        return ""

    def convert(
        self,
        source: Source,
        precision: str,  # noqa: ARG002 -- weights are cast when they are read
        folder: Path,
        calibration: Sequence[Sequence[int]],  # noqa: ARG002 -- no precision of this engine needs any
    ) -> None:
        """Copy the model as it is."""
        shutil.copytree(source.folder, folder, dirs_exist_ok=True)

    def open_scorer(self, folder: Path, precision: str, threads: int) -> Scorer:
        """Open a classifier."""
        from tunewright.engines.runtimes.transformers.scorer import TransformersScorer

        return TransformersScorer(folder, precision, threads)

    def open_generator(self, folder: Path, precision: str, threads: int, slots: int) -> Generator:
        """Open a language model."""
        from tunewright.engines.runtimes.transformers.decoder import open_generator

        return open_generator(folder, precision, threads, slots)
