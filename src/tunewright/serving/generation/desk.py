"""Who gives a worker answers to write, and whose turn it is where several models share one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tunewright.serving.admission import Shares
from tunewright.serving.faults import ServingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.serving.frames import Piece
    from tunewright.serving.generation.writing import Writing


class Desk(Protocol):
    """Who gives answers to be written, and takes what comes."""

    adapter: str
    """What they are written with; empty for the worker's copy itself."""

    @property
    def waits(self) -> bool:
        """Whether an answer waits for its turn."""
        ...

    def pop(self) -> Writing | None:
        """Give the next answer that waits; None where it has ended meanwhile."""
        ...

    def stepped(self, pieces: Sequence[tuple[Writing, Piece]], seconds: float) -> None:
        """Take what one step wrote."""
        ...

    def refused(self, writing: Writing, why: str) -> None:
        """Take the news that the engine can't do what is asked."""
        ...

    def failed(self, writing: Writing, why: str) -> None:
        """Take the news that the engine fails at an answer."""
        ...


class Turns:
    """Turns between the desks of one worker: the next is the one that has had the fewest tokens."""

    def __init__(self) -> None:
        self._shares = Shares()
        self._here: set[str] = set()

    def next(self, desks: Sequence[Desk]) -> Desk | None:
        """Return the desk whose turn it is; None when nothing waits."""
        waiting = {desk.adapter: desk for desk in desks if desk.waits}
        for name in self._here - waiting.keys():
            self._shares.leave(name)
        for name in waiting.keys() - self._here:
            self._shares.enter(name)
        self._here = set(waiting)
        return waiting[self._shares.least(waiting)] if waiting else None

    def charge(self, desk: Desk, tokens: int) -> None:
        """Count tokens that the desk whose turn it was has had."""
        self._shares.charge(desk.adapter, tokens)


class Rehearsal:
    """Takes answers that are compared and given to nobody."""

    adapter = ""
    waits = False

    def pop(self) -> None:
        """Give nothing: what is rehearsed is sent at once."""

    def stepped(self, pieces: Sequence[tuple[Writing, Piece]], seconds: float) -> None:  # noqa: ARG002
        """Take what one step wrote."""
        for writing, piece in pieces:
            if piece.finish == "cancelled":
                self.failed(writing, "the engine gave it up")
            else:
                writing.take(piece.ids, piece.scores, piece.finish)

    def refused(self, writing: Writing, why: str) -> None:
        """Take the news that the engine can't do what is asked."""
        self.failed(writing, why)

    def failed(self, writing: Writing, why: str) -> None:
        """Take the news that the engine fails at an answer."""
        writing.fail(ServingError(why))
