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

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from tunewright.serving.telemetry import attributes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunewright.serving.asked import Finished, Sink
    from tunewright.serving.telemetry.context import TraceContext

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
    """Makes the spans of requests, of those that the sampler of ``OTEL_TRACES_SAMPLER`` keeps.

    Args:
        processor: Sends them.
    """

    def __init__(self, processor: SpanProcessor) -> None:
        self._processor = processor
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler  # the environment's
        version = importlib.metadata.version("tunewright")
        ours = Resource({attributes.SERVICE_NAME: "tunewright", attributes.SERVICE_VERSION: version})
        self._resource = ours.merge(OTELResourceDetector().detect())
        self._scope = InstrumentationScope("tunewright.serving", version, attributes.CONVENTIONS)

    def hear(self, finished: Finished) -> None:
        """Make the spans of a request, unless the sampler says that nobody keeps them."""
        trace = finished.trace
        parent = _parent(trace)
        given = attributes.of_request(finished)
        if not self._keeps(parent, trace.trace_id, attributes.name_of(finished), given):
            return
        began, ended = finished.at - finished.seconds, finished.at
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
            given=given,
            kind=SpanKind.SERVER,
            is_failed=finished.status >= attributes.SERVER_FAULT,
        )

    def close(self) -> None:
        """Send what waits, for some seconds at most."""
        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        ending.join(END_S)

    def _keeps(
        self, parent: SpanContext | None, trace_id: str, name: str, given: Mapping[str, str | int]
    ) -> bool:
        """Ask the sampler about the span of a request."""
        around = set_span_in_context(NonRecordingSpan(parent), Context()) if parent else Context()
        result = self._sampler.should_sample(around, int(trace_id, 16), name, SpanKind.SERVER, given)
        return result.decision is Decision.RECORD_AND_SAMPLE

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


def _parent(trace: TraceContext) -> SpanContext | None:
    """Return the client's span, if it named one."""
    if not trace.parent_id:
        return None
    flags = TraceFlags(TraceFlags.SAMPLED if trace.is_sampled else TraceFlags.DEFAULT)
    return SpanContext(int(trace.trace_id, 16), int(trace.parent_id, 16), is_remote=True, trace_flags=flags)


def _context(trace_id: str) -> SpanContext:
    """Return the ids of a new span."""
    span_id = randbits(SPAN_BITS) or 1
    return SpanContext(
        int(trace_id, 16), span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
