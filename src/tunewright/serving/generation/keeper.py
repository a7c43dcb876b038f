"""Answers in a worker that is kept alive: when it dies, the next one goes on where it stopped.

Several models may share the worker: one base, and an adapter for each.

An answer that was being written goes on behind the tokens that its readers have. Those over which workers die again
are tried one at a time, so that the one that kills them is found and the others get theirs.
"""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.serving.frames import Brought, Failed, Forget, Leave, Write, Written
from tunewright.serving.generation.adapters import Adapters
from tunewright.serving.generation.desk import Rehearsal, Turns
from tunewright.serving.generation.writing import Writing
from tunewright.serving.tending import FIRST_PAUSE_S, Tending
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tunewright.engines.interface import Sampling, TokenScore
    from tunewright.serving.frames import Piece, Said
    from tunewright.serving.generation.desk import Desk

ALONE_AFTER = 2
"""Deaths of a worker over an answer, after which it is tried alone."""
GIVE_UP_AFTER = 3
"""Deaths after which it is given up, the last one over it alone."""


class WritingKeeper(Tending):
    """Keeps one worker alive and answers with it.

    Args:
        folder: The copy.
        threads: Processor threads of the engine.
        slots: Answers that are written at once.
        step_timeout_s: A worker that has answers to write and is silent for so long is killed.
    """

    def __init__(self, folder: Path, threads: int, slots: int, *, step_timeout_s: float) -> None:
        super().__init__(folder, threads, slots=slots, patience_s=step_timeout_s)
        self._desks: list[Desk] = []
        self._turns = Turns()
        self._adapters = Adapters()
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

    def join(self, desk: Desk) -> None:
        """Give a desk its turns from now on."""
        self._desks.append(desk)

    def leave(self, desk: Desk) -> None:
        """Take a desk's turns away, with all that is written for it."""
        if desk in self._desks:
            self._desks.remove(desk)
        for writing in [each for each in (*self._in_work.values(), *self._suspects) if each.desk is desk]:
            desk.failed(writing, "its version is no longer served")
            self.drop(writing)

    async def bring(self, folder: Path) -> str:
        """Let a worker that is kept take an adapter in; every later one gets it, too.

        Args:
            folder: The adapter's copy.

        Returns:
            What the worker knows it by.

        Raises:
            TunewrightError: When it can't be used.
        """
        message = self._adapters.add(folder)
        self._tell(message)
        try:
            await self._adapters.came(message.name)
        except BaseException:
            self.forget(message.name)
            raise
        return message.name

    def forget(self, name: str) -> None:
        """Let the worker give an adapter's memory back."""
        self._adapters.remove(name)
        self._tell(Forget(name))

    async def rehearse(
        self, asked: Sequence[tuple[str, Sequence[int]]], sampling: Sampling
    ) -> list[tuple[list[int], list[TokenScore]]]:
        """Let the worker answer prompts together, before anybody keeps it or beside other answers.

        Args:
            asked: Adapter (empty: none) and token ids of each.
            sampling: How tokens are chosen, for all alike.

        Returns:
            Token ids and scores of each answer.

        Raises:
            TunewrightError: When it fails at them, or ends.
        """
        if self._process is None and not self.is_kept:
            raise TunewrightError("there is no worker")
        now, desk = time.monotonic(), Rehearsal()
        writings = [Writing(tuple(ids), sampling, "", now, desk, adapter) for adapter, ids in asked]
        try:
            for each in writings:
                self.send(each)
            if not self.is_kept:
                await self._hear_out(writings)
            for each in writings:
                await each.ended.wait()
                if each.fault:
                    raise TunewrightError(each.fault.fact)
        finally:
            for each in writings:
                each.gone = True
                self.drop(each)
        return [(each.ids, each.scores) for each in writings]

    def free(self) -> None:
        """Give the worker what it has room for, desk by desk in fair turns."""
        while self.room and (desk := self._turns.next(self._desks)):
            if writing := desk.pop():
                self._turns.charge(desk, writing.tokens)
                self.send(writing)

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
        self._tell(Write(writing.number, ids, sampling, writing.adapter))

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
            for desk, own in _by_desk(pieces):
                desk.stepped(own, said.seconds)
        elif isinstance(said, Brought):
            self._adapters.heard(said)
        elif isinstance(said, Failed) and (refused := self._in_work.pop(said.number, None)):
            if why := self._adapters.why_lost(refused.adapter):
                refused.desk.failed(refused, why)
            else:
                refused.desk.refused(refused, said.why)
        self._go_on()

    def _take_back(self) -> str:
        self._adapters.worker_died()
        had, self._in_work = list(self._in_work.values()), {}
        for writing in had:
            writing.deaths += 1
        if len(had) == 1 and had[0].deaths >= GIVE_UP_AFTER:
            had[0].desk.failed(had[0], "it ends the worker")
        else:
            self._suspects.extendleft(reversed(had))
        self.free()
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
        self.free()

    def _silent_since(self) -> float:
        return self._heard_at if self._in_work else float("inf")

    async def _start(self) -> None:
        """Start a worker, and tell it the adapters before anything else."""
        await super()._start()
        for message in self._adapters.messages():
            self._tell(message)

    async def _hear_out(self, writings: Sequence[Writing]) -> None:
        """Hear a worker that nobody keeps until answers are over.

        Raises:
            TunewrightError: When it fails, or ends.
        """
        while self._process and not all(each.is_over for each in writings):
            said = await self._process.hear()
            if isinstance(said, Failed) and not said.number:
                raise TunewrightError(said.why)
            if said is None:
                raise TunewrightError(await self._process.last_words())
            self._heard(said)


def _by_desk(pieces: Sequence[tuple[Writing, Piece]]) -> Iterable[tuple[Desk, list[tuple[Writing, Piece]]]]:
    """Put the pieces of a step together by those who asked for them."""
    found: dict[int, tuple[Desk, list[tuple[Writing, Piece]]]] = {}
    for writing, piece in pieces:
        found.setdefault(id(writing.desk), (writing.desk, []))[1].append((writing, piece))
    return found.values()
