"""Batches in a worker that is kept alive: given again to the next one when it dies, so that nothing is lost.

A batch that was in work when a worker died is tried again alone. If it kills a worker once more, it is split, until
the one text is found that does; that one is answered with an error, and all others get their answers.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tunewright.serving.frames import Failed, Scored, Work
from tunewright.serving.tending import FIRST_PAUSE_S, Tending
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.serving.batcher import Row
    from tunewright.serving.frames import Said

SPLIT_AFTER = 2
"""Deaths of a worker over a batch, the last one over it alone, after which it is split."""
GIVE_UP_AFTER = 3
"""Deaths over a single text after which it is answered with an error: one more, for chance kills happen."""


class Desk(Protocol):
    """Who gives batches and takes answers."""

    def scored(self, batch: Batch, scored: Scored) -> None:
        """Take the answer to a batch."""
        ...

    def failed(self, row: Row, why: str) -> None:
        """Take the news that one row can't be answered."""
        ...

    def free(self) -> None:
        """Hear that there may be room for a batch now, or that the state has changed."""
        ...


@dataclass(eq=False, slots=True)
class Batch:
    """Rows that are scored together."""

    rows: Sequence[Row]
    with_features: bool
    deaths: int = 0
    """Workers that died while they had it."""
    sent_at: float = field(default=0.0, init=False)


class Keeper(Tending):
    """Keeps one worker alive and batches with it.

    Args:
        folder: The copy.
        threads: Processor threads of the engine.
        desk: Gets the answers.
        batch_timeout_s: A worker that is silent about a batch for so long is killed.
    """

    def __init__(self, folder: Path, threads: int, desk: Desk, *, batch_timeout_s: float) -> None:
        super().__init__(folder, threads, slots=1, patience_s=batch_timeout_s)
        self._desk = desk
        self._in_work: dict[int, Batch] = {}
        self._suspects: deque[Batch] = deque()
        self._number = 0

    @property
    def busy(self) -> int:
        """Batches in work."""
        return len(self._in_work)

    @property
    def takes_batches(self) -> bool:
        """Whether a new batch may be sent: there is a worker, and no batch is under suspicion."""
        return (
            self.lanes > 0 and not self._suspects and not any(each.deaths for each in self._in_work.values())
        )

    async def rehearse(self, ids: Sequence[Sequence[int]]) -> Scored:
        """Let the worker score token ids before anybody keeps it.

        Raises:
            TunewrightError: When it fails at them, or ends.
        """
        if self._process is None:
            raise TunewrightError("there is no worker")
        self._process.tell(Work(0, [list(row) for row in ids], with_features=False))
        said = await self._process.hear()
        if isinstance(said, Scored):
            return said
        raise TunewrightError(said.why if isinstance(said, Failed) else await self._process.last_words())

    def send(self, batch: Batch) -> None:
        """Give the worker a batch."""
        if self._process is None:
            self._suspects.append(batch)
            return
        self._number += 1
        self._in_work[self._number] = batch
        batch.sent_at = time.monotonic()
        self._tell(Work(self._number, [list(row.ids) for row in batch.rows], batch.with_features))

    def _heard(self, said: Said) -> None:
        if isinstance(said, Scored):
            self._pause = FIRST_PAUSE_S
            self._desk.scored(self._in_work.pop(said.number), said)
        elif isinstance(said, Failed):
            self._failed(self._in_work.pop(said.number), said.why)
        self._go_on()

    def _take_back(self) -> str:
        had, self._in_work = list(self._in_work.values()), {}
        for batch in had:
            batch.deaths += 1
        if len(had) == 1 and had[0].deaths >= SPLIT_AFTER:
            self._split(had[0], "it ends the worker")
        else:
            self._suspects.extendleft(reversed(had))
        self._desk.free()
        return f"{len(had)} batches are tried again"

    def _silent_since(self) -> float:
        return min((batch.sent_at for batch in self._in_work.values()), default=float("inf"))

    def _failed(self, batch: Batch, why: str) -> None:
        """Split a batch that the engine refused."""
        batch.deaths = GIVE_UP_AFTER
        self._split(batch, why)

    def _split(self, batch: Batch, why: str) -> None:
        """Halve a batch that can't be answered; a single text is given up."""
        rows = [row for row in batch.rows if not row.gone]
        if len(rows) > 1:
            middle = len(rows) // 2
            halves = [Batch(half, batch.with_features, deaths=1) for half in (rows[:middle], rows[middle:])]
            self._suspects.extendleft(reversed(halves))
        elif rows and batch.deaths >= GIVE_UP_AFTER:
            self._desk.failed(rows[0], why)
        elif rows:
            self._suspects.appendleft(batch)

    def _go_on(self) -> None:
        """Try the next suspect, alone; without any, ask for new batches."""
        while self._process and self._suspects and not self._in_work:
            batch = self._suspects.popleft()
            batch.rows = [row for row in batch.rows if not row.gone]
            if batch.rows:
                self.send(batch)
        self._desk.free()
