"""The adapters that a worker must have: told to each new one, and waited for."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.serving.frames import Bring
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from tunewright.serving.frames import Brought

MOST_DEATHS = 2
"""Workers that may end over an adapter that none has held yet; then it is given up."""
log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Adapter:
    folder: Path
    came: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Done when a worker has held it, or why it can't be."""
    why_lost: str = ""
    """Why the present worker lacks it."""
    deaths: int = 0


class Adapters:
    """What was brought, by the name that the worker knows it by."""

    def __init__(self) -> None:
        self._known: dict[str, _Adapter] = {}
        self._numbers = count(1)

    def add(self, folder: Path) -> Bring:
        """Note one; return what a worker is to be told."""
        name = f"adapter-{next(self._numbers)}"
        self._known[name] = _Adapter(folder)
        return Bring(name, str(folder))

    def remove(self, name: str) -> None:
        """Forget one."""
        self._known.pop(name, None)

    async def came(self, name: str) -> None:
        """Wait until a worker has it.

        Raises:
            TunewrightError: When it can't be used.
        """
        await self._known[name].came

    def messages(self) -> list[Bring]:
        """Return what a new worker is to be told."""
        return [Bring(name, str(each.folder)) for name, each in self._known.items()]

    def heard(self, said: Brought) -> None:
        """Take a worker's word on one."""
        adapter = self._known.get(said.name)
        if adapter is None:
            return
        adapter.why_lost = said.why
        if adapter.came.done():
            if said.why:
                log.warning("an adapter can't be brought back: %s", said.why)
        elif said.why:
            adapter.came.set_exception(TunewrightError(said.why))
        else:
            adapter.came.set_result(None)

    def worker_died(self) -> None:
        """Give up those over which workers end."""
        for adapter in self._known.values():
            if not adapter.came.done():
                adapter.deaths += 1
                if adapter.deaths >= MOST_DEATHS:
                    adapter.came.set_exception(TunewrightError("it ends the worker"))

    def why_lost(self, name: str) -> str:
        """Say why the present worker lacks one that others had; empty when it has it."""
        adapter = self._known.get(name)
        return adapter.why_lost if adapter else ""
