"""How the batches of a step are dealt out to processes: together they see the rows that one process would see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunewright.training.batching import Batches
    from tunewright.training.group import Group
    from tunewright.training.plan import Rows


@dataclass(frozen=True, slots=True)
class OwnBatches:
    """One process's batches of an epoch; a batch sampler for a torch ``DataLoader``.

    Every process gives the same number of batches in each step, for each pass may need all of them. What is left at an
    epoch's end is dealt out row by row; a process for which no row is left takes one without loss, written as the
    complement (``~position``) of a row's position.
    """

    batches: Batches
    """Of all processes: a step's window counts those of every process."""
    group: Group

    def __len__(self) -> int:
        """Return the batches of an epoch."""
        whole, rest = divmod(len(self.batches), self.batches.window)
        return whole * _passes(self.batches.window, self.group.size) + _passes(rest, self.group.size)

    def __iter__(self) -> Iterator[list[int]]:
        """Walk over the current epoch."""
        for step in self.batches.steps(self.batches.epoch):
            yield from deal(step, self.group.size)[self.group.rank]


@dataclass(frozen=True, slots=True)
class RowsWithSilent:
    """Rows, of which the complement of a position gives the same row without loss."""

    rows: Rows

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, position: int) -> Any:  # noqa: ANN401
        """Return one row as its collator takes it."""
        if position >= 0:
            return self.rows[position]
        ids, _ = self.rows[~position]
        return ids, (False,) * len(ids)


def deal(step: list[list[int]], processes: int) -> list[list[list[int]]]:
    """Deal out a step's batches: process by process, batch by batch, row positions.

    Args:
        step: Its batches, longest rows first.
        processes: How many take part; each gets the same number of batches.
    """
    passes = _passes(len(step), processes)
    if len(step) < passes * processes:
        rows = [row for batch in step for row in batch]
        # Rows stay sorted, and shares differ by one row at most.
        share, more = divmod(len(rows), passes * processes)
        ends = [share * at + min(at, more) for at in range(passes * processes + 1)]
        step = [rows[start:end] or [~rows[-1]] for start, end in pairwise(ends)]
    return [step[rank::processes] for rank in range(processes)]


def _passes(batches: int, processes: int) -> int:
    return -(-batches // processes)
