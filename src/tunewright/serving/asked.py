"""A request as everything behind the gate sees it, and what is told about it when it has ended.

The two seams for others stand here: an ``Authoriser`` says for whom a request is, or refuses it; a ``Sink`` hears of
every request that has ended.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING, Any, TypeAlias

from tunewright.serving.faults import ServingError

if TYPE_CHECKING:
    from tunewright.models.classifier import Prediction
    from tunewright.serving.served import Identity
    from tunewright.serving.telemetry.context import TraceContext

SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
PREDICTION = "pred_"
SCOPE_KEY = "tunewright.asked"
"""Where the request stands in its ASGI scope."""


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom a request is: turns and room in the queue are shared between names."""

    name: str
    scopes: frozenset[str] = frozenset()
    """What the key opens; empty where there was none."""

    @property
    def key(self) -> str:
        """Name of the API key; empty where the server asks for none."""
        return self.name if self.scopes else ""


@dataclass(frozen=True, slots=True)
class AnsweredText:
    """One text that a model was asked about, with the answer."""

    id: str
    """Prediction id."""
    text: str
    tokens: int
    """Of the text."""
    prediction: Prediction | None = None
    """A classifier's answer."""
    answer: str | None = None
    """A language model's; None while it is being written."""
    tokens_out: int | None = None
    """Of that answer."""


@dataclass(eq=False, slots=True)
class Asked:
    """One request on its way through the server."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By lower-case name."""
    host: str
    """Where it came from."""
    request_id: str
    arrival: float = field(default_factory=time.monotonic)
    caller: Caller = field(default=Caller(""), init=False)
    answered: list[AnsweredText] = field(default_factory=list, init=False)
    """Each text with its answer."""
    identity: Identity | None = field(default=None, init=False)
    """The model that answered."""
    tokens: int = field(default=0, init=False)
    """That the model read."""
    tokens_out: int = field(default=0, init=False)
    """That it wrote."""
    queue_seconds: float = field(default=0.0, init=False)
    answered_after: float = field(default=0.0, init=False)
    """Seconds from its arrival until the model had answered; 0 where none did."""
    reserved: int = field(default=0, init=False)
    """Tokens that were taken out of the key's limit before anybody could count them."""
    told: Mapping[str, str] = field(default_factory=dict, init=False)
    """Headers that the authoriser adds to the answer."""

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> Asked:
        """Read it off an ASGI scope; a request id of the client's is kept when it is a plain word."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        return cls(
            method=scope["method"],
            path=scope["path"],
            headers=headers,
            host=(scope.get("client") or ("",))[0],
            request_id=given if SANE_ID.fullmatch(given) else f"req_{token_hex(16)}",
        )

    def seconds(self, default: float) -> float:
        """Return the time that it allows for an answer: ``x-request-timeout``, at most the default.

        Raises:
            ServingError: When the header is no positive number.
        """
        given = self.headers.get("x-request-timeout")
        if given is None:
            return default
        try:
            seconds = float(given)
        except ValueError:
            seconds = -1.0
        if not seconds > 0:
            raise ServingError(
                "is no positive number of seconds", param="x-request-timeout", code="invalid_header"
            )
        return min(seconds, default)


@dataclass(frozen=True, slots=True)
class Finished:
    """A request that has ended, for the request log; texts stand in it, and it is for the log to keep or hide them."""

    request_id: str
    at: float
    """Seconds since 1970."""
    method: str
    route: str
    status: int
    seconds: float
    key: str
    """Name of the API key; empty where the server asks for none."""
    identity: Identity | None
    """The model that answered; None where none did."""
    answered: Sequence[AnsweredText]
    """Each text with its answer."""
    tokens: int
    """That the model read."""
    tokens_out: int
    """That it wrote."""
    queue_seconds: float
    answered_after: float
    """Seconds from its arrival until the model had answered; 0 where none did."""
    reserved: int
    """Tokens that were taken out of the key's limit before anybody could count them."""
    trace: TraceContext

    @property
    def prediction_id(self) -> str:
        """The id of the whole answer; empty without one."""
        return self.answered[0].id.partition("-")[0] if self.answered else ""


Authoriser: TypeAlias = Callable[[Asked], Caller]
"""Says for whom a request is, or raises a ``ServingError`` (401, 403, 429). It is asked about every request but those
to ``/health/``, whether such a route exists or not."""
Sink: TypeAlias = Callable[[Finished], None]
"""Hears of every request that has ended; it must return at once."""


def by_address(asked: Asked) -> Caller:
    """Let everybody in, and share turns between addresses."""
    return Caller(asked.host)


def nowhere(finished: Finished) -> None:
    """Keep nothing."""


def new_prediction_id() -> str:
    """Return an id that sorts by time: 48 bits of milliseconds, then chance."""
    return f"{PREDICTION}{int(time.time() * 1000):012x}{token_hex(8)}"
