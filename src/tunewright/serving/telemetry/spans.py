"""Traces over OTLP: a span a request, below it the wait in the queue and the engine's work.

Spans are made when a request has ended, from what was measured on its way, and put into a bounded queue; a thread sends
them. Nothing here ever waits for the collector: spans that it doesn't take are dropped.
"""

from __future__ import annotations

import importlib.metadata
import logging
import threading
from collections.abc import Callable
from secrets import randbits
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from tunewright.serving.telemetry import attributes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunewright.serving.asked import Finished, Sink

PATH = "/v1/traces"
TIMEOUT_S = 5.0
"""For one sending, with its trials."""
END_S = 3.0
"""For what waits when the server ends."""
NANOSECONDS = 1e9
SPAN_BITS = 64


def spans(endpoint: str | None) -> tuple[Sink, Callable[[], None]]:
    """Return a sink that sends traces, and what ends it.

    Args:
        endpoint: The collector's base URL; None takes it from the environment.
    """
    logging.getLogger("opentelemetry.sdk._shared_internal").setLevel(logging.ERROR)  # a line for each drop
    url = endpoint.rstrip("/").removesuffix(PATH) + PATH if endpoint else None
    tracer = Tracer(BatchSpanProcessor(OTLPSpanExporter(url, timeout=TIMEOUT_S)))
    return tracer.hear, tracer.close


class Tracer:
    """Makes the spans of requests.

    Args:
        processor: Sends them.
    """

    def __init__(self, processor: BatchSpanProcessor) -> None:
        self._processor = processor
        version = importlib.metadata.version("tunewright")
        ours = Resource({attributes.SERVICE_NAME: "tunewright", attributes.SERVICE_VERSION: version})
        self._resource = ours.merge(OTELResourceDetector().detect())
        self._scope = InstrumentationScope("tunewright.serving", version, attributes.CONVENTIONS)

    def hear(self, finished: Finished) -> None:
        """Make the spans of a request, unless its client says that nobody keeps them."""
        trace = finished.trace
        if not trace.is_sampled:
            return
        began, ended = finished.at - finished.seconds, finished.at
        parent = (
            _context(trace.trace_id, int(trace.parent_id, 16), is_remote=True) if trace.parent_id else None
        )
        own = _context(trace.trace_id)
        if finished.answered_after:
            sent, answered = began + finished.queue_seconds, began + finished.answered_after
            self._end(attributes.QUEUE, _context(trace.trace_id), own, began, sent)
            self._end(attributes.BATCH, _context(trace.trace_id), own, sent, answered)
        self._end(
            attributes.name_of(finished),
            own,
            parent,
            began,
            ended,
            given=attributes.of_request(finished),
            kind=SpanKind.SERVER,
            is_failed=finished.status >= attributes.SERVER_FAULT,
        )

    def close(self) -> None:
        """Send what waits, for some seconds at most."""
        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        ending.join(END_S)

    def _end(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        began: float,
        ended: float,
        *,
        given: Mapping[str, str | int] | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        is_failed: bool = False,
    ) -> None:
        """Hand a span that has ended to the processor."""
        span = ReadableSpan(
            name,
            context,
            parent,
            self._resource,
            given,
            kind=kind,
            status=Status(StatusCode.ERROR if is_failed else StatusCode.UNSET),
            start_time=int(began * NANOSECONDS),
            end_time=int(ended * NANOSECONDS),
            instrumentation_scope=self._scope,
        )
        self._processor.on_end(span)


def _context(trace_id: str, span_id: int = 0, *, is_remote: bool = False) -> SpanContext:
    """Return the ids of a span; a new one where none is given."""
    return SpanContext(
        int(trace_id, 16), span_id or randbits(SPAN_BITS) or 1, is_remote, TraceFlags(TraceFlags.SAMPLED)
    )
