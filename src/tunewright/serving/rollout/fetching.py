"""A version's copy, found or made in a process of its own that ends with whoever waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

from tunewright.serving.opening import MODULE, Found, Request, read_reply


async def fetch(request: Request) -> Found:
    """Find the copy of a version.

    Raises:
        TunewrightError: When there is none and none can be made.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", MODULE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        said, _ = await process.communicate(request.model_dump_json().encode())
    finally:
        with contextlib.suppress(ProcessLookupError):  # a converter may be at work below it
            os.killpg(process.pid, signal.SIGKILL)
    return read_reply(said.decode("utf-8", "replace"), process.returncode, request.reference)[0]
