"""A model that is served, whatever its task: who it is, the worker behind it, and how long it is needed."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from tunewright.serving.faults import client_left, timed_out

if TYPE_CHECKING:
    from tunewright.config.serving import ServingConfig
    from tunewright.engines.interface import Task
    from tunewright.engines.text_side import SplitText
    from tunewright.serving.faults import ServingError
    from tunewright.serving.tending import Tending

LONG_CHARACTERS = 2000
"""Texts that are longer together are tokenised on a thread of its own; for shorter ones the way there costs more."""
WATCH_AFTER_S = 0.05
"""From then on a request is watched for a client that leaves; most are answered before."""
AnyTokens = TypeVar("AnyTokens")
DOWN_AFTER_S = 10.0
"""A server without a worker for so long is no longer degraded but down."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model it is."""

    name: str
    version: str
    form: str
    """Engine and precision."""
    digest: str
    """Of the weights."""
    aliases: tuple[str, ...] = ()
    called: str = ""
    """What a model that is served beside the first one is called; empty for the first."""

    @property
    def id(self) -> str:
        """What it is called among the models of one server."""
        return self.called or self.name

    @property
    def words(self) -> tuple[str, ...]:
        """Everything that a request may call it."""
        aliases = (f"{self.name}@{alias}" for alias in self.aliases)
        called = (self.called,) if self.called else ()
        return (*called, self.name, f"{self.name}/{self.version}", *aliases)


class ServedModel(ABC):
    """One opened copy behind a queue.

    Args:
        identity: Which model it is.
        settings: Limits and sizes.
    """

    task: ClassVar[Task]
    keeper: Tending
    """Of its worker."""
    label_names: tuple[str, ...] = ()
    """A classifier's labels; the position is the class id."""

    def __init__(self, identity: Identity, settings: ServingConfig) -> None:
        self.identity = identity
        self.settings = settings
        self.asking = 0
        """Requests that wait for it, or may come to."""
        self._tokenising = ThreadPoolExecutor(1, thread_name_prefix="tokenising")

    @property
    def is_down(self) -> bool:
        """Whether it has had no worker for so long that requests should go elsewhere."""
        since = self.keeper.down_since
        return since is not None and time.monotonic() - since > DOWN_AFTER_S

    @property
    @abstractmethod
    def waiting_tokens(self) -> int:
        """Tokens in the queue."""

    @property
    @abstractmethod
    def max_tokens(self) -> int:
        """Tokens that it reads at most; of a language model, prompt and answer together."""

    @abstractmethod
    async def split(self, text: str) -> SplitText:
        """Show how the model reads a text."""

    def leave(self) -> None:  # noqa: B027 -- nothing to do for one that has its worker to itself
        """Take what is its own out of a worker that goes on for others."""

    def close(self) -> None:
        """Give threads back."""
        self._tokenising.shutdown(wait=False)

    async def _tokenised(self, characters: int, work: Callable[[], AnyTokens]) -> AnyTokens:
        """Tokenise; so many characters, where they are many, don't hold the other requests up."""
        if characters <= LONG_CHARACTERS:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._tokenising, work)


@contextmanager
def watched(
    fail: Callable[[ServingError], None],
    left: float,
    allowed: float,
    leaving: Callable[[], Awaitable[None]],
) -> Iterator[None]:
    """Fail what is waited for when its time is over, or its client leaves.

    Args:
        fail: Ends it with an error.
        left: Seconds until then.
        allowed: Seconds that it was given in all, for the error.
        leaving: Returns when the client has left; asked only when it takes long.
    """

    async def end_when_left() -> None:
        await leaving()
        fail(client_left())

    loop = asyncio.get_running_loop()
    watching: list[asyncio.Future[None]] = []
    timers = (
        loop.call_later(left, lambda: fail(timed_out(allowed))),
        loop.call_later(WATCH_AFTER_S, lambda: watching.append(asyncio.ensure_future(end_when_left()))),
    )
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for watch in watching:
            watch.cancel()
