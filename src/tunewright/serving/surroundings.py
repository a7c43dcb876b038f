"""What stands around a service in a project: who is let in, and who hears of each request that has ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tunewright.monitoring.feedback import FILE as FEEDBACK
from tunewright.serving.asked import Authoriser, Sink, by_address
from tunewright.serving.authorising import KeyAuthoriser, is_loopback
from tunewright.serving.feedback_desk import FeedbackDesk
from tunewright.serving.keys import FILE, KeyStore
from tunewright.serving.limits import RateLimiter
from tunewright.serving.request_records import into, open_log, show
from tunewright.serving.telemetry.endpoint import is_asked_for
from tunewright.serving.telemetry.lines import request_lines
from tunewright.support.console import say
from tunewright.support.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from tunewright.config.monitoring import MonitoringConfig
    from tunewright.config.serving import ServingConfig
    from tunewright.serving.asked import Finished
    from tunewright.serving.metrics import Metrics
    from tunewright.support.paths import ProjectPaths

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a service is given; as a context it closes what must be closed."""

    authorise: Authoriser = by_address
    feedback: FeedbackDesk | None = None
    sinks: tuple[Sink, ...] = ()
    """They hear of every request that has ended."""
    shown: tuple[Callable[[Metrics], None], ...] = ()
    """They add figures."""
    closing: tuple[Callable[[], object], ...] = ()
    """Called at the end, in this order."""

    def hear(self, finished: Finished) -> None:
        """Tell each sink; one that fails doesn't keep the news from the others."""
        for sink in self.sinks:
            try:
                sink(finished)
            except Exception as error:  # noqa: BLE001, PERF203 -- the answer is out, whatever comes of it
                log.warning("%s: a record is lost (%s)", finished.request_id, type(error).__name__)

    def show(self, metrics: Metrics) -> None:
        """Add the figures of what stands around."""
        for each in self.shown:
            each(metrics)

    def __enter__(self) -> Surroundings:
        return self

    def __exit__(self, *_: object) -> None:
        for close in self.closing:
            close()


def surroundings(
    settings: ServingConfig, monitoring: MonitoringConfig, paths: ProjectPaths | None
) -> Surroundings:
    """Put together what the settings ask for.

    Args:
        settings: The server's.
        monitoring: What is kept.
        paths: The project, where there is one: keys, request log and feedback live there.

    Raises:
        InputError: When keys are required and there can't be any.
    """
    keys = _keys(settings, paths)
    desk = FeedbackDesk(paths.state / FEEDBACK) if paths else None
    log = open_log(monitoring.request_log, paths.state) if paths and monitoring.request_log.enabled else None
    parts: list[tuple[Sink, Callable[[], object] | None]] = []
    if keys:
        parts.append((keys.settle, None))
    if desk:
        parts.append((desk.hear, desk.close))
    if log:
        parts.append((into(log), log.close))
    if settings.log_format != "off":
        parts.append(request_lines(settings.log_format))
    if telemetry := _traces(settings):
        parts.append(telemetry)
    return Surroundings(
        authorise=keys or by_address,
        feedback=desk,
        sinks=tuple(sink for sink, _ in parts),
        shown=(partial(show, log),) if log else (),
        closing=tuple(close for _, close in parts if close),
    )


def _traces(settings: ServingConfig) -> tuple[Sink, Callable[[], object]] | None:
    """Return what sends traces; None where nobody asks for them."""
    if not is_asked_for(settings.otlp_endpoint):
        return None
    if not (find_spec("opentelemetry") and find_spec("opentelemetry.exporter")):
        raise MissingExtraError("sending traces", "serve")
    from tunewright.serving.telemetry.spans import spans

    return spans(settings.otlp_endpoint)


def _keys(settings: ServingConfig, paths: ProjectPaths | None) -> KeyAuthoriser | None:
    """Return who looks at API keys; None where everybody is let in."""
    is_reachable = not is_loopback(settings.host)
    if settings.keys == "off":
        if is_reachable:
            say(f"warning: whoever reaches {settings.host} may ask: serving.keys is off")
        return None
    is_required = settings.keys == "required" or is_reachable
    if paths is None:
        if not is_required:
            return None
        raise InputError(
            "asks for API keys, which belong to a project, and this is none",
            place=f"serving.keys={settings.keys} on {settings.host}",
            mend="run it inside a project, or say serving.keys=off to let everybody in",
        )
    store = KeyStore(paths.state / FILE)
    if is_required and not store.path.exists():
        say(
            "warning: there is no API key yet, so nobody is let in: make one with `tunewright keys make NAME`"
        )
    return KeyAuthoriser(store, RateLimiter(), is_required=is_required)
