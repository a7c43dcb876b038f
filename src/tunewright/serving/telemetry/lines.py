"""One line a request on standard error, as JSON or for people, written on a thread of its own.

A line holds no text, no secret and no address. Whoever reads standard error slowly holds no answer up: beyond some
thousand lines that wait, further ones are dropped, and a line says how many.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from tunewright.serving.asked import Finished, Sink

LogFormat = Literal["json", "plain"]
MOST_WAITING = 10_000
END_S = 2.0
LOGGER = "tunewright"


class LineWriter:
    """Writes lines in the order in which they come.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="request-lines", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Take a line; it never waits."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Write what waits, for some seconds at most."""
        try:
            self._waiting.put(None, timeout=END_S)
        except queue.Full:
            return
        self._thread.join(END_S)

    def _run(self) -> None:
        while (line := self._waiting.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            try:
                if dropped:
                    logging.getLogger(__name__).warning("%d lines were dropped", dropped)
                self._stream.write(line + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads any more
                return


class JsonHandler(logging.Handler):
    """Writes what the server's own log says as JSON lines, too.

    Args:
        writer: Where to.
    """

    def __init__(self, writer: LineWriter) -> None:
        super().__init__(logging.INFO)
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        at = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        facts = {"time": at, "level": record.levelname.lower(), "logger": record.name}
        self._writer.put(json.dumps({**facts, "message": record.getMessage()}))


def request_lines(form: LogFormat) -> tuple[Sink, Callable[[], None]]:
    """Return a sink that writes lines, and what ends it.

    Args:
        form: ``json``, in which the server's own log is written then, too; or ``plain``.
    """
    writer = LineWriter(sys.stderr)
    if form == "json":
        logger = logging.getLogger(LOGGER)
        logger.addHandler(JsonHandler(writer))
        logger.setLevel(logging.INFO)
        logger.propagate = False
    written = json_line if form == "json" else plain_line
    return lambda finished: writer.put(written(finished)), writer.close


def json_line(finished: Finished) -> str:
    """Return a request as one JSON object."""
    identity = finished.identity
    return json.dumps(
        {
            "time": _time(finished),
            "level": "info",
            "request_id": finished.request_id,
            "prediction_id": finished.prediction_id,
            "method": finished.method,
            "route": finished.route,
            "status": finished.status,
            "ms": round(finished.seconds * 1000, 3),
            "model": identity.name if identity else "",
            "version": identity.version if identity else "",
            "tokens": finished.tokens,
            "tokens_out": finished.tokens_out,
            "key": finished.key,
            "trace_id": finished.trace.trace_id,
        }
    )


def plain_line(finished: Finished) -> str:
    """Return a request as a line for people; what isn't known is a dash."""
    identity = finished.identity
    model = f"{identity.name}/{identity.version}" if identity else "-"
    ids = f"{finished.request_id} {finished.prediction_id or '-'} {finished.trace.trace_id}"
    took = f"{finished.seconds * 1000:.1f} ms"
    return (
        f"{_time(finished)} {finished.method} {finished.route} {finished.status} {took} {model}"
        f" {finished.key or '-'} {ids}"
    )


def _time(finished: Finished) -> str:
    return datetime.fromtimestamp(finished.at, timezone.utc).isoformat(timespec="milliseconds")
