"""An answer that is being written: what was asked, what came of it so far, and who waits for more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.engines.interface import Finish, Sampling, TokenScore
    from tunewright.serving.faults import ServingError
    from tunewright.serving.generation.desk import Desk
    from tunewright.serving.generation.text import TextStream


@dataclass(eq=False, slots=True)
class Writing:
    """One answer on its way."""

    prompt_ids: tuple[int, ...]
    sampling: Sampling
    caller: str
    arrival: float
    desk: Desk
    """Who gave it, and takes what comes of it."""
    adapter: str = ""
    """What it is written with, as the worker knows it; empty for the copy itself."""
    stream: TextStream | None = None
    """Looks for words that it is to end before; None where there are none."""
    number: int = 0
    """By which the worker knows it; 0 while it waits."""
    ids: list[int] = field(default_factory=list)
    """Token ids written so far."""
    scores: list[TokenScore] = field(default_factory=list)
    finish: Finish | None = None
    fault: ServingError | None = None
    """Why it can't be written."""
    deaths: int = 0
    """Workers that died while they had it."""
    sent_at: float = 0.0
    """When it was given to a worker first; 0 before."""
    first_at: float = 0.0
    """When its first token came; 0 before."""
    last_at: float = 0.0
    """When its last tokens came; 0 before the first."""
    gone: bool = False
    """Nobody waits for it any more."""
    began: asyncio.Event = field(default_factory=asyncio.Event)
    """Its first token is there, or it is over."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """It is over."""
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def tokens(self) -> int:
        """What it may take up: its prompt, and all that may be written."""
        return len(self.prompt_ids) + self.sampling.max_new_tokens

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.finish is not None or self.fault is not None

    def rest(self) -> tuple[list[int], Sampling]:
        """Return what a worker is to go on from, and how: a new one writes behind what its predecessor wrote."""
        written = len(self.ids)
        sampling = replace(
            self.sampling, max_new_tokens=self.sampling.max_new_tokens - written, written=written
        )
        return [*self.prompt_ids, *self.ids], sampling

    def take(self, ids: Sequence[int], scores: Sequence[TokenScore], finish: Finish | None) -> None:
        """Take what was written; behind a word that it is to end before, nothing more need come.

        Who reads it finds that word again: engines know nothing of it, so for them the answer was cut.
        """
        self.ids += ids
        self.scores += scores
        if finish is None and self.stream and self.stream.add(ids).stopped:
            finish = "length"
        self.finish = finish
        self._tell()

    def fail(self, fault: ServingError) -> None:
        """End it with an error, unless it has ended."""
        if not self.is_over:
            self.fault = fault
            self._tell()

    async def moved(self) -> None:
        """Return when something has come since the last time, or it is over.

        Raises:
            ServingError: When it can't be written.
        """
        if not self.is_over:
            await self._moved.wait()
            self._moved.clear()
        if self.fault:
            raise self.fault

    def _tell(self) -> None:
        self._moved.set()
        self.began.set()
        if self.is_over:
            self.ended.set()
