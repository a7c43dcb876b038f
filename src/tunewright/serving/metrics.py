"""What the server tells Prometheus: every name, label and bucket, with what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""From a short text alone to the longest wait that is allowed."""
FIRST_TOKEN = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0)
"""About as vLLM's, for a token each."""
FILL = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The figures of one server; a registry of its own, so that two in a process don't mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Counter(
            "tunewright_requests", "Answered requests.", ("route", "status"), registry=own
        )
        """By route (its pattern) and HTTP status; errors are those from 400 on."""
        self.request_seconds = Histogram(
            "tunewright_request_seconds",
            "From the request's first byte to the answer's last.",
            ("route",),
            buckets=SECONDS,
            registry=own,
        )
        self.in_flight = Gauge(
            "tunewright_requests_in_flight", "Requests that are being answered.", registry=own
        )
        self.queue_seconds = Histogram(
            "tunewright_queue_seconds",
            "From a text's arrival until its batch is sent to the engine.",
            ("model",),
            buckets=SECONDS,
            registry=own,
        )
        self.batch_seconds = Histogram(
            "tunewright_batch_seconds",
            "Time of the engine over a batch.",
            ("model",),
            buckets=SECONDS,
            registry=own,
        )
        self.batch_fill = Histogram(
            "tunewright_batch_fill",
            "Tokens of a batch that are no padding, over its token budget.",
            ("model",),
            buckets=FILL,
            registry=own,
        )
        self.batch_rows = Histogram(
            "tunewright_batch_rows", "Texts of a batch.", ("model",), buckets=ROWS, registry=own
        )
        self.tokens = Counter(
            "tunewright_tokens", "Tokens that the engine has read.", ("model",), registry=own
        )
        self.written_tokens = Counter(
            "tunewright_written_tokens", "Tokens that the engine has written.", ("model",), registry=own
        )
        self.first_token_seconds = Histogram(
            "tunewright_first_token_seconds",
            "From a request's arrival until the first token of an answer.",
            ("model",),
            buckets=FIRST_TOKEN,
            registry=own,
        )
        self.token_seconds = Histogram(
            "tunewright_token_seconds",
            "Between two tokens of an answer.",
            ("model",),
            buckets=TOKEN,
            registry=own,
        )
        self.refused = Counter(
            "tunewright_refused", "Requests that were refused before any work.", ("code",), registry=own
        )
        """By the ``code`` of the error, such as ``overloaded`` or ``draining``."""
        self._counts: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._looks = _Looks()
        self.registry.register(self._looks)

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count a request; its figures are looked up once for each route and status."""
        if (route, status) not in self._counts:
            figures = (self.requests.labels(route, str(status)), self.request_seconds.labels(route))
            self._counts[route, status] = figures
        requests, took = self._counts[route, status]
        requests.inc()
        took.observe(seconds)

    def look(
        self, name: str, meaning: str, read: Callable[[], dict[tuple[str, ...], float]], *labels: str
    ) -> None:
        """Add a figure that is read when somebody asks.

        Args:
            name: Of the gauge.
            meaning: Its documentation.
            read: Gives values by the labels' values.
            labels: Their names.
        """
        self._looks.add(name, meaning, read, labels)

    def page(self) -> bytes:
        """Return all figures as Prometheus reads them."""
        return generate_latest(self.registry)


class _Looks(Collector):
    """Gauges that are read when they are asked for."""

    def __init__(self) -> None:
        self._known: list[tuple[str, str, Callable[[], dict[tuple[str, ...], float]], tuple[str, ...]]] = []

    def add(
        self,
        name: str,
        meaning: str,
        read: Callable[[], dict[tuple[str, ...], float]],
        labels: tuple[str, ...],
    ) -> None:
        """Add one."""
        self._known.append((name, meaning, read, labels))

    def collect(self) -> Iterator[Metric]:
        """Read all."""
        for name, meaning, read, labels in self._known:
            family = GaugeMetricFamily(name, meaning, labels=labels)
            for values, figure in read().items():
                family.add_metric(values, figure)
            yield family
