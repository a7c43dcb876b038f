"""From requests that have ended to the request log: one record a text that a model was asked about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from tunewright.monitoring.records import LogSettings, RequestRecord
from tunewright.monitoring.request_log import FOLDER, RequestLog
from tunewright.serving.faults import BAD_REQUEST

if TYPE_CHECKING:
    from pathlib import Path

    from tunewright.config.monitoring import RequestLogConfig
    from tunewright.serving.asked import AnsweredText, Finished, Sink
    from tunewright.serving.metrics import Metrics
    from tunewright.serving.served import Identity

COUNTS = ("written", "waiting", "dropped", "left_out")


def open_log(config: RequestLogConfig, state: Path) -> RequestLog:
    """Open the log of a project.

    Args:
        config: What is kept.
        state: The project's local state.
    """
    # What its thread needs is imported now: later an import would hold answers up.
    import pyarrow.parquet  # noqa: F401

    import tunewright.registry.lineage  # noqa: F401

    return RequestLog(state / FOLDER, LogSettings(**config.model_dump(exclude={"enabled"})))


def into(log: RequestLog) -> Sink:
    """Return a sink that appends to a log."""

    def append(finished: Finished) -> None:
        for record in records_of(finished):
            log.append(record)

    return append


def records_of(finished: Finished) -> Iterator[RequestRecord]:
    """Give a request's records: one a text; one without a text where no answer came; none without a model."""
    identity = finished.identity
    if identity is None:
        return
    if not finished.answered and finished.status >= BAD_REQUEST:
        yield _record(finished, identity, None)
    for answered in finished.answered:
        yield _record(finished, identity, answered)


def show(log: RequestLog, metrics: Metrics) -> None:
    """Let the metrics read what became of the records."""

    def counts() -> dict[tuple[str, ...], float]:
        found = asdict(log.counts())
        return {(name,): float(found[name]) for name in COUNTS}

    metrics.look(
        "tunewright_request_log_records",
        "Records of the request log, by what became of them.",
        counts,
        "state",
    )
    metrics.look(
        "tunewright_request_log_failing",
        "1 while the request log can't be written.",
        lambda: {(): float(log.counts().is_failing)},
    )


def _record(
    finished: Finished,
    identity: Identity,
    answered: AnsweredText | None,
) -> RequestRecord:
    prediction = answered.prediction if answered else None
    return RequestRecord(
        time=finished.at - finished.seconds,
        prediction_id=answered.id if answered else "",
        request_id=finished.request_id,
        route=finished.route,
        model=identity.name,
        version=int(identity.version) if identity.version.isdecimal() else None,
        key=finished.key,
        status=finished.status,
        latency_s=finished.seconds,
        text=answered.text if answered else None,
        tokens_in=answered.tokens if answered else None,
        tokens_out=answered.tokens_out if answered else None,
        answer=answered.answer if answered else None,
        label=prediction.label if prediction else None,
        confidence=prediction.probability if prediction else None,
        probabilities=prediction.probabilities if prediction else None,
    )
