"""A worker process as the front sees it: started, spoken to, ended."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections import deque
from pathlib import Path

from tunewright.serving.frames import HEADER, Failed, Opened, Said, Told, framed, read_said
from tunewright.support.errors import TunewrightError

MODULE = "tunewright.serving.worker"
LAST_WORDS = 20
"""Lines of a worker's standard error that are kept, to say why it died."""
END_SECONDS = 5.0


class WorkerProcess:
    """One life of a worker.

    Args:
        process: The process.
        reader: What it says.
        writer: What it is told.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._words: deque[str] = deque(maxlen=LAST_WORDS)
        self._listening = asyncio.ensure_future(self._listen())

    @classmethod
    async def start(cls, folder: Path, threads: int, slots: int) -> WorkerProcess:
        """Start a process that opens a copy; it shares one socket with this one and nothing else.

        Args:
            folder: The copy.
            threads: Processor threads of the engine.
            slots: Answers of a language model that are written at once.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", MODULE, str(theirs.fileno()), str(folder), str(threads), str(slots)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def opened(self) -> Opened:
        """Wait until the copy is open.

        Raises:
            TunewrightError: When it can't be opened, or the process dies over it.
        """
        said = await self.hear()
        if isinstance(said, Opened):
            return said
        if isinstance(said, Failed):
            raise TunewrightError(said.why)
        raise TunewrightError(await self.last_words(), place="the worker", mend="see the server's log")

    def tell(self, message: Told) -> None:
        """Send something; it never waits."""
        self._writer.write(framed(message))

    async def hear(self) -> Said | None:
        """Return the next thing that it says; None when it has ended."""
        try:
            head = await self._reader.readexactly(HEADER.size)
            return read_said(await self._reader.readexactly(HEADER.unpack(head)[0]))
        except (asyncio.IncompleteReadError, OSError):
            return None

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """Let it end by itself, which it does when its socket closes, and see that it has."""
        self._writer.close()
        try:
            await asyncio.wait_for(self._process.wait(), END_SECONDS)
        except asyncio.TimeoutError:
            self.kill()
            await self._process.wait()
        self._listening.cancel()

    async def last_words(self) -> str:
        """Say how it ended."""
        code = await self._process.wait()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._listening), 1)
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"{how} ({self._words[-1][:300]})" if self._words else how

    async def _listen(self) -> None:
        """Keep the last lines of its standard error."""
        stream = self._process.stderr
        while stream is not None and (line := await stream.readline()):
            if word := line.decode("utf-8", "replace").strip():
                self._words.append(word)
