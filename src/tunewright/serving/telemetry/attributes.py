"""The names that traces use: OpenTelemetry's for HTTP and GenAI, which still change, and a few of our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunewright.serving.asked import Finished

CONVENTIONS = "https://opentelemetry.io/schemas/1.37.0"
"""The version of the conventions that the names are from."""
SERVICE_NAME, SERVICE_VERSION = "service.name", "service.version"
QUEUE, BATCH = "queue", "batch"
"""Spans below a request's: until its last text was sent to the engine, and from then until all were answered."""
OPERATIONS = {
    "/v1/embeddings": "embeddings",
    "/v1/decisions": "decide",
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
}
"""GenAI's operation by route; ``classify`` for the others."""
SERVER_FAULT = 500


def name_of(finished: Finished) -> str:
    """Return the name of a request's span."""
    return f"{finished.method} {finished.route}"


def of_request(finished: Finished) -> Mapping[str, str | int]:
    """Return the attributes of a request's span; never a text, an address or a secret."""
    found: dict[str, str | int] = {
        "http.request.method": finished.method,
        "http.route": finished.route,
        "http.response.status_code": finished.status,
        "tunewright.request.id": finished.request_id,
    }
    if finished.key:
        found["tunewright.key.name"] = finished.key
    if finished.status >= SERVER_FAULT:
        found["error.type"] = str(finished.status)
    return found | _of_model(finished)


def _of_model(finished: Finished) -> dict[str, str | int]:
    identity = finished.identity
    if identity is None:
        return {}
    found: dict[str, str | int] = {
        "gen_ai.operation.name": OPERATIONS.get(finished.route, "classify"),
        "gen_ai.provider.name": "tunewright",
        "gen_ai.request.model": identity.name,
        "tunewright.model.version": identity.version,
        "tunewright.model.engine": identity.form,
    }
    if finished.answered:
        found |= {
            "gen_ai.response.model": identity.name,
            "gen_ai.response.id": finished.prediction_id,
            "gen_ai.usage.input_tokens": finished.tokens,
        }
    if finished.tokens_out:
        found["gen_ai.usage.output_tokens"] = finished.tokens_out
    return found
