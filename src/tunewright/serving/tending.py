"""A worker that is kept alive: started, heard, killed when it is silent, and started again when it dies."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.serving.process import WorkerProcess
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from tunewright.serving.frames import Said, Told

FIRST_PAUSE_S = 0.1
MOST_PAUSE_S = 5.0
WATCH_S = 0.5
log = logging.getLogger(__name__)


class Tending(ABC):
    """Keeps one worker alive; what it has in work is the business of those who inherit.

    Args:
        folder: The copy.
        threads: Processor threads of the engine.
        slots: Answers of a language model that are written at once.
        patience_s: A worker that is silent about its work for so long is killed.
    """

    def __init__(self, folder: Path, threads: int, *, slots: int, patience_s: float) -> None:
        self._folder = folder
        self._threads = threads
        self._slots = slots
        self._patience = patience_s
        self._process: WorkerProcess | None = None
        self._pause = FIRST_PAUSE_S
        self.is_kept = False
        """Whether somebody hears what the worker says, and starts another when it ends."""
        self.lanes = 0
        """What may be in work at once; 0 while there is no worker."""
        self.restarts = 0
        self.down_since: float | None = None
        """When the worker died, while there is no new one."""

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        return self._process.pid if self._process else None

    @property
    def folder(self) -> Path:
        """The copy."""
        return self._folder

    @property
    def patience_s(self) -> float:
        """How long a worker may be silent about its work."""
        return self._patience

    async def open(self) -> None:
        """Start the first worker.

        Raises:
            TunewrightError: When the copy can't be opened.
        """
        await self._start()

    async def end(self) -> None:
        """End a worker that nobody keeps."""
        process, self._process, self.lanes = self._process, None, 0
        if process:
            process.kill()
            await process.end()

    async def keep(self) -> None:
        """Hear what the worker says, and start another when it ends; runs until it is cancelled."""
        watch = asyncio.ensure_future(self._watch())
        self.is_kept = True
        try:
            while True:
                if self._process is None:
                    await self._restart()
                while self._process and (said := await self._process.hear()):
                    self._heard(said)
                await self._died()
        finally:
            watch.cancel()
            self.is_kept = False
            if self._process:
                await self._process.end()

    @abstractmethod
    def _heard(self, said: Said) -> None:
        """Take what the worker says."""

    @abstractmethod
    def _take_back(self) -> str:
        """Take back what a worker had that died; say what becomes of it."""

    @abstractmethod
    def _go_on(self) -> None:
        """Give a new worker what waits."""

    @abstractmethod
    def _silent_since(self) -> float:
        """Return since when an answer is awaited that should have come; infinite when none is."""

    def _tell(self, message: Told) -> None:
        """Say something to the worker, while there is one."""
        if self._process:
            self._process.tell(message)

    async def _start(self) -> None:
        process = await WorkerProcess.start(self._folder, self._threads, self._slots)
        try:
            lanes = (await process.opened()).lanes
        except BaseException:
            process.kill()
            await process.end()
            raise
        self._process, self.lanes, self.down_since = process, lanes, None

    async def _restart(self) -> None:
        """Start another worker, with a growing pause between trials."""
        while self._process is None:
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, MOST_PAUSE_S)
            self.restarts += 1
            try:
                await self._start()
            except (TunewrightError, OSError) as error:
                log.warning("the worker can't be started again: %s", error)
        log.info("a new worker is ready")
        self._go_on()

    async def _died(self) -> None:
        process, self._process, self.lanes = self._process, None, 0
        self.down_since = time.monotonic()
        follows = self._take_back()
        if process:
            process.kill()  # one that closed its socket is of no use, even if it lives
            log.warning("the worker %s; %s", await process.last_words(), follows)
            await process.end()

    async def _watch(self) -> None:
        """Kill a worker that is silent about its work for too long: it is as good as dead."""
        while True:
            await asyncio.sleep(WATCH_S)
            if self._process and time.monotonic() - self._silent_since() > self._patience:
                log.warning("the worker has been silent about its work for %g s", self._patience)
                self._process.kill()
