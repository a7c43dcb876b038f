"""An endpoint as data: what it answers to, what it takes and gives, and how it is shown in the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from starlette.responses import Response

    from tunewright.serving.call import Call

REFERENCE = "#/components/schemas/{name}"
JSON = "application/json"
UNGUARDED = ("/health/", "/page/", "/v1/rollout/webhook")
"""The paths that no key is asked for: who watches a server has none, a browser brings none for the files of the page,
and MLflow signs instead."""
VARIABLE = re.compile(r"\{(\w+)")
"""A part of a path that varies."""


class ErrorFacts(msgspec.Struct, frozen=True):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(msgspec.Struct, frozen=True):
    """Every answer from status 400 on."""

    error: ErrorFacts


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path and method."""

    path: str
    handler: Callable[[Call], Awaitable[Response]]
    summary: str
    method: str = "POST"
    takes: type | None = None
    """Kind of the body."""
    gives: type | None = None
    """Kind of the answer; None where it is no JSON."""
    examples: Mapping[str, Any] = field(default_factory=dict)
    """Bodies, by what they show."""
    also_takes: Mapping[str, str] = field(default_factory=dict)
    """Other content types, each with an example."""
    faults: tuple[int, ...] = ()
    """Statuses that it may answer with when something is wrong."""

    def document(self) -> dict[str, Any]:
        """Return what the OpenAPI document says beyond path, method and summary."""
        found: dict[str, Any] = {"responses": dict(self._responses())}
        if variables := VARIABLE.findall(self.path):
            found["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in variables
            ]
        if self.takes:
            content: dict[str, Any] = {
                JSON: {
                    "schema": reference(self.takes),
                    "examples": {name: {"value": value} for name, value in self.examples.items()},
                }
            }
            content |= {
                kind: {"schema": {"type": "string"}, "example": example}
                for kind, example in self.also_takes.items()
            }
            found["requestBody"] = {"required": True, "content": content}
        return found

    def _faults(self) -> list[int]:
        return sorted({*self.faults, *(() if self.path.startswith(UNGUARDED) else GUARDED)})

    def _responses(self) -> list[tuple[str, Any]]:
        good: dict[str, Any] = {"description": "The answer."}
        if self.gives:
            good["content"] = {JSON: {"schema": reference(self.gives)}}
        error = {"content": {JSON: {"schema": reference(ErrorBody)}}}
        return [
            ("200", good),
            *((str(status), {"description": MEANINGS[status], **error}) for status in self._faults()),
        ]


MEANINGS = {
    400: "The body or a header isn't what is expected.",
    401: "There is no API key, none that is known, or a signature is wrong.",
    403: "The API key doesn't open this.",
    404: "There is no such model or prediction.",
    409: "There is nothing to do that with.",
    413: "The body is too large.",
    415: "The content type isn't taken.",
    429: "Too much waits already, or the key has used its minute; ask again after Retry-After.",
    500: "The engine failed at this text.",
    503: "The server is starting, draining or down.",
    504: "No answer came in time.",
}
ASKING = (400, 404, 413, 415, 429, 500, 503, 504)
"""Faults of every route that asks a model."""
GUARDED = (401, 403, 429, 503)
"""Faults of every route at which keys may be asked for."""


def reference(kind: type) -> dict[str, Any]:
    """Return a reference to a kind of body among the components."""
    return {"$ref": REFERENCE.format(name=kind.__name__)}


def components(kinds: list[type]) -> dict[str, Any]:
    """Return the schemas of kinds of bodies and of all that they hold."""
    return msgspec.json.schema_components([*kinds, ErrorBody], ref_template=REFERENCE)[1]
