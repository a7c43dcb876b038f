"""Server-sent events: a JSON object each, ``[DONE]`` at the end, and an end to the work when the reader leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from tunewright.serving.faults import ServingError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from tunewright.serving.call import Call

DONE = b"data: [DONE]\n\n"


class EventStream(Response):
    """Sends events as they come.

    Args:
        call: The request; its client is watched.
        events: What is sent.
        close: Called in the end, however it comes about.
    """

    def __init__(self, call: Call, events: AsyncIterator[object], close: Callable[[], None]) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-cache"})
        del self.headers["content-length"]
        self._call = call
        self._events = events
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- the call has both
        """Send until all is sent or the client has left."""
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(self._call.left())
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, leaving):
                task.cancel()
            self._close()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async for event in self._events:
                await self._one(send, event)
        except ServingError as error:  # the head is out: the client reads it as an event
            await self._one(send, error.body)
        await send({"type": "http.response.body", "body": DONE, "more_body": False})

    async def _one(self, send: Send, event: object) -> None:
        body = b"data: " + msgspec.json.encode(event) + b"\n\n"
        await send({"type": "http.response.body", "body": body, "more_body": True})
