"""Answers in a worker that is kept alive: when it dies, the next one goes on where it stopped.

An answer that was being written goes on behind the tokens that its readers have. Those over which workers die again
are tried one at a time, so that the one that kills them is found and the others get theirs.
"""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tunewright.serving.frames import Failed, Leave, Piece, Write, Written
from tunewright.serving.tending import FIRST_PAUSE_S, Tending
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.engines.interface import Sampling, TokenScore
    from tunewright.serving.frames import Said
    from tunewright.serving.generation.writing import Writing

ALONE_AFTER = 2
"""Deaths of a worker over an answer, after which it is tried alone."""
GIVE_UP_AFTER = 3
"""Deaths after which it is given up, the last one over it alone."""


class Desk(Protocol):
    """Who gives answers to be written, and takes what comes."""

    def stepped(self, pieces: Sequence[tuple[Writing, Piece]], seconds: float) -> None:
        """Take what one step wrote."""
        ...

    def refused(self, writing: Writing, why: str) -> None:
        """Take the news that the engine can't do what is asked."""
        ...

    def failed(self, writing: Writing, why: str) -> None:
        """Take the news that the engine fails at an answer."""
        ...

    def free(self) -> None:
        """Hear that there may be room now."""
        ...


class WritingKeeper(Tending):
    """Keeps one worker alive and answers with it.

    Args:
        folder: The copy.
        threads: Processor threads of the engine.
        slots: Answers that are written at once.
        desk: Gets what is written.
        step_timeout_s: A worker that has answers to write and is silent for so long is killed.
    """

    def __init__(self, folder: Path, threads: int, slots: int, desk: Desk, *, step_timeout_s: float) -> None:
        super().__init__(folder, threads, slots=slots, patience_s=step_timeout_s)
        self._desk = desk
        self._in_work: dict[int, Writing] = {}
        self._suspects: deque[Writing] = deque()
        self._number = 0
        self._heard_at = 0.0

    @property
    def room(self) -> int:
        """Answers that may be begun now."""
        if self._suspects or any(each.deaths >= ALONE_AFTER for each in self._in_work.values()):
            return 0
        return max(0, self.lanes - len(self._in_work))

    @property
    def busy(self) -> int:
        """Answers that are being written."""
        return len(self._in_work)

    async def rehearse(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling
    ) -> list[tuple[list[int], list[TokenScore]]]:
        """Let the worker answer prompts together before anybody keeps it; return ids and scores of each.

        Raises:
            TunewrightError: When it fails at them, or ends.
        """
        if self._process is None:
            raise TunewrightError("there is no worker")
        found: dict[int, tuple[list[int], list[TokenScore]]] = {}
        for ids in prompts:
            self._number += 1
            found[self._number] = ([], [])
            self._tell(Write(self._number, list(ids), sampling))
        left = len(found)
        while left:
            said = await self._process.hear()
            if not isinstance(said, Written):
                why = said.why if isinstance(said, Failed) else await self._process.last_words()
                raise TunewrightError(why)
            for piece in said.pieces:
                ids_of, scores_of = found[piece.number]
                ids_of += piece.ids
                scores_of += piece.scores
                left -= piece.finish is not None
        return list(found.values())

    def send(self, writing: Writing) -> None:
        """Give the worker an answer to write."""
        if self._process is None:
            self._suspects.append(writing)
            return
        if not self._in_work:
            self._heard_at = time.monotonic()
        self._number += 1
        writing.number = self._number
        self._in_work[writing.number] = writing
        ids, sampling = writing.rest()
        self._tell(Write(writing.number, ids, sampling))

    def drop(self, writing: Writing) -> None:
        """Stop writing an answer that nobody reads any more."""
        if self._in_work.pop(writing.number, None):
            self._tell(Leave(writing.number))
            self._go_on()

    def _heard(self, said: Said) -> None:
        self._heard_at = time.monotonic()
        if isinstance(said, Written):
            self._pause = FIRST_PAUSE_S
            pieces = [
                (writing, piece) for piece in said.pieces if (writing := self._in_work.get(piece.number))
            ]
            for _, piece in pieces:
                if piece.finish:
                    del self._in_work[piece.number]
            self._desk.stepped(pieces, said.seconds)
        elif isinstance(said, Failed) and (refused := self._in_work.pop(said.number, None)):
            self._desk.refused(refused, said.why)
        self._go_on()

    def _take_back(self) -> str:
        had, self._in_work = list(self._in_work.values()), {}
        for writing in had:
            writing.deaths += 1
        if len(had) == 1 and had[0].deaths >= GIVE_UP_AFTER:
            self._desk.failed(had[0], "it ends the worker")
        else:
            self._suspects.extendleft(reversed(had))
        self._desk.free()
        return f"{len(had)} answers go on in the next one"

    def _go_on(self) -> None:
        """Go on with what a dead worker had: together first, alone those over which another one died."""
        while self._process and self._suspects:
            writing = self._suspects[0]
            is_alone = writing.deaths >= ALONE_AFTER
            if writing.gone or writing.is_over:
                self._suspects.popleft()
            elif self._in_work and (is_alone or any(e.deaths >= ALONE_AFTER for e in self._in_work.values())):
                break
            else:
                self.send(self._suspects.popleft())
        self._desk.free()

    def _silent_since(self) -> float:
        return self._heard_at if self._in_work else float("inf")
