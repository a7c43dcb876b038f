"""A Metaflow flow of ten steps, each of which reads a file and writes one.

CHAIN=FOLDER python benchmarks/chains/with_metaflow.py --quiet run
"""

from __future__ import annotations

import os
from pathlib import Path

from metaflow import FlowSpec, step

FOLDER = Path(os.environ["CHAIN"])


def copy(number: int) -> None:
    """Do the work of one step."""
    (FOLDER / f"{number + 1}.txt").write_text((FOLDER / f"{number}.txt").read_text())


class Chain(FlowSpec):
    """Metaflow reads the names of the next steps from the source, so that each step must be written out."""

    @step
    def start(self) -> None:
        """Begin."""
        copy(0)
        self.next(self.one)

    @step
    def one(self) -> None:
        """Step 1."""
        copy(1)
        self.next(self.two)

    @step
    def two(self) -> None:
        """Step 2."""
        copy(2)
        self.next(self.three)

    @step
    def three(self) -> None:
        """Step 3."""
        copy(3)
        self.next(self.four)

    @step
    def four(self) -> None:
        """Step 4."""
        copy(4)
        self.next(self.five)

    @step
    def five(self) -> None:
        """Step 5."""
        copy(5)
        self.next(self.six)

    @step
    def six(self) -> None:
        """Step 6."""
        copy(6)
        self.next(self.seven)

    @step
    def seven(self) -> None:
        """Step 7."""
        copy(7)
        self.next(self.eight)

    @step
    def eight(self) -> None:
        """Step 8."""
        copy(8)
        self.next(self.end)

    @step
    def end(self) -> None:
        """End."""
        copy(9)


if __name__ == "__main__":
    Chain()
