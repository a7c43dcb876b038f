"""The gate: what is done for every request, whatever its route.

It gives the request its id, refuses what can't be taken, lets the authoriser decide, turns every error into the OpenAI
shape, sets the headers of every answer, counts, and tells the sink. Plain ASGI: it costs microseconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tunewright.serving.asked import SCOPE_KEY, Asked, Finished
from tunewright.serving.endpoint import UNGUARDED
from tunewright.serving.faults import BAD_REQUEST, CLIENT_LEFT, SERVER_ERROR, TOO_LARGE, ServingError
from tunewright.serving.telemetry.context import HEADER, context_of
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tunewright.serving.service import Service

ALWAYS_OPEN = ("/health/", "/metrics", "/ping", "/page/")
"""Paths that are answered in every state, as the page at ``/`` is."""
UNMATCHED = "unmatched"
log = logging.getLogger(__name__)


class Gate:
    """ASGI around the routes.

    Args:
        app: The routes.
        service: What stands behind them.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = scope[SCOPE_KEY] = Asked.of(scope)
        service = self._service
        answer = _Answer(asked, service, send)
        service.in_flight += 1
        service.metrics.in_flight.inc()
        try:
            self._check(asked)
            await self._app(scope, receive, answer.send)
        except Exception as error:  # noqa: BLE001 -- every error gets an answer, here and nowhere else
            await answer.refuse(_fault(error, asked))
        finally:
            service.in_flight -= 1
            service.metrics.in_flight.dec()
            self._tell(asked, answer.status, scope)

    def _check(self, asked: Asked) -> None:
        """Refuse what can be refused before anything is read.

        Raises:
            ServingError: When it is.
        """
        if not asked.path.startswith(UNGUARDED):
            asked.caller = self._service.authorise(asked)
        if asked.path != "/" and not asked.path.startswith(ALWAYS_OPEN):
            self._service.require_open()
        length = asked.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._service.settings.max_body_bytes:
            raise too_large(self._service.settings.max_body_bytes)

    def _tell(self, asked: Asked, status: int, scope: Mapping[str, Any]) -> None:
        """Count the request, and tell the sink."""
        seconds = time.monotonic() - asked.arrival
        route = getattr(scope.get("route"), "path", UNMATCHED)
        self._service.metrics.count(route, status, seconds)
        try:
            self._service.sink(_finished(asked, route, status, seconds))
        except Exception as error:  # noqa: BLE001 -- the answer is out: what becomes of its record can't harm it
            log.warning("%s: the sink failed (%s)", asked.request_id, type(error).__name__)


class _Answer:
    """The answer on its way out."""

    def __init__(self, asked: Asked, service: Service, send: Send) -> None:
        self._asked = asked
        self._service = service
        self._send = send
        self.status = CLIENT_LEFT

    async def send(self, message: Message) -> None:
        """Send a part of it; the head with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._headers()]
        await self._send(message)

    async def refuse(self, fault: ServingError) -> None:
        """Answer with an error; once the head is out, all that is left is to break off."""
        if self.status != CLIENT_LEFT:
            raise fault
        if fault.status == CLIENT_LEFT:
            return
        if fault.code:
            self._service.metrics.refused.labels(fault.code).inc()
        body = msgspec.json.encode(fault.body)
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **fault.headers,
        }
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": fault.status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})

    def _headers(self) -> list[tuple[bytes, bytes]]:
        asked, models = self._asked, self._service.models
        found = [(b"x-request-id", asked.request_id.encode())]
        if identity := asked.identity or (models[0].identity if models else None):
            found.append((b"x-model", _header(identity.name)))
            found.append((b"x-model-version", _header(identity.version)))
        if asked.answered:
            found.append((b"server-timing", _timing(asked)))
            found.append((b"x-prediction-id", asked.answered[0].id.partition("-")[0].encode()))
        if self._service.is_draining:
            found.append((b"connection", b"close"))
        found += [(name.encode(), value.encode()) for name, value in asked.told.items()]
        return found


def _finished(asked: Asked, route: str, status: int, seconds: float) -> Finished:
    """Tell what became of a request."""
    return Finished(
        request_id=asked.request_id,
        at=time.time(),
        method=asked.method,
        route=route,
        status=status,
        seconds=seconds,
        key=asked.caller.key,
        identity=asked.identity,
        answered=asked.answered,
        tokens=asked.tokens,
        tokens_out=asked.tokens_out,
        queue_seconds=asked.queue_seconds,
        answered_after=asked.answered_after,
        reserved=asked.reserved,
        trace=context_of(asked.headers.get(HEADER, "")),
    )


def too_large(most: int) -> ServingError:
    """Say that a body is too large; the connection ends, for the rest of it isn't read."""
    return ServingError(
        f"the body has more than {most:,} bytes",
        status=TOO_LARGE,
        code="body_too_large",
        mend="send fewer texts a request",
        headers={"connection": "close"},
    )


def _fault(error: Exception, asked: Asked) -> ServingError:
    """Return what is answered for an error; ours alone are told, of others only that there was one."""
    if isinstance(error, ServingError):
        return error
    if isinstance(error, InputError):
        return ServingError(error.fact, status=BAD_REQUEST, param=error.place or None, mend=error.mend)
    # Neither message nor traceback: they could quote a text.
    place = error.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
    log.error("%s: %s at %s", asked.request_id, type(error).__name__, where)
    return ServingError(
        "the server failed at this request", status=SERVER_ERROR, code="internal_error", mend="ask again"
    )


def _timing(asked: Asked) -> bytes:
    """Tell in the W3C's words how long the text waited, and when its model had answered; milliseconds."""
    return f"queue;dur={asked.queue_seconds * 1e3:.2f}, answer;dur={asked.answered_after * 1e3:.2f}".encode()


def _header(word: str) -> bytes:
    """Return a word as a header may hold it."""
    return word.encode("ascii", "replace").replace(b"\n", b" ").replace(b"\r", b" ")
