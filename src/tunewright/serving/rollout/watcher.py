"""The process that looks at the registry, as the server sees it: asked, waited for, ended."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

from tunewright.serving.rollout.looking import Sighting
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from tunewright.serving.opening import Request

MODULE = "tunewright.serving.rollout.looking"
FIRST_S = 120.0
"""For the first look of a process, which imports MLflow."""
LOOK_S = 20.0


class Watcher:
    """Looks at what a reference stands for.

    Args:
        request: The reference, and where models are registered.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._process: asyncio.subprocess.Process | None = None

    async def look(self) -> Sighting:
        """Look once.

        Raises:
            TunewrightError: When the registry can't be asked.
        """
        seconds = LOOK_S
        if self._process is None:
            seconds = FIRST_S
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", MODULE),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            self._tell(self._request.model_dump_json())
        self._tell("")
        try:
            sighting = Sighting.model_validate_json(await asyncio.wait_for(self._answer(), seconds))
        except (asyncio.TimeoutError, ValueError, OSError):
            await self.end()
            raise TunewrightError("the registry doesn't answer") from None
        if sighting.fault:
            raise TunewrightError(sighting.fault)
        return sighting

    async def end(self) -> None:
        """End the process; the next look starts another."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _tell(self, line: str) -> None:
        if self._process and self._process.stdin:
            self._process.stdin.write(line.encode() + b"\n")

    async def _answer(self) -> bytes:
        if self._process is None or self._process.stdout is None:
            return b""
        return await self._process.stdout.readline()
