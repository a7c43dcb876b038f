"""What can go wrong with a request, as the OpenAI API says it."""

from __future__ import annotations

from collections.abc import Mapping

from tunewright.support.errors import TunewrightError

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, CONFLICT = 400, 401, 403, 409
NOT_FOUND, TOO_LARGE, UNSUPPORTED = 404, 413, 415
TOO_MANY, SERVER_ERROR, UNAVAILABLE, TIMED_OUT = 429, 500, 503, 504
CLIENT_LEFT = 499
"""nginx's number for a request whose client has left; nobody sees it but the metrics."""
TYPES = {
    UNAUTHORIZED: "authentication_error",
    FORBIDDEN: "permission_error",
    TOO_MANY: "rate_limit_error",
    SERVER_ERROR: "server_error",
    UNAVAILABLE: "server_error",
    TIMED_OUT: "timeout_error",
}
"""OpenAI's ``type`` of a status; ``invalid_request_error`` for the others."""


class ServingError(TunewrightError):
    """A request that isn't answered, with status and headers.

    Args:
        fact: What is wrong.
        status: HTTP status.
        code: A word for programs.
        param: The field that it is about.
        mend: What to do about it.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        fact: str,
        *,
        status: int = BAD_REQUEST,
        code: str | None = None,
        param: str | None = None,
        mend: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(fact, place=param or "", mend=mend)
        self.status = status
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, object]:
        """The answer's body."""
        return {
            "error": {
                "message": str(self),
                "type": TYPES.get(self.status, "invalid_request_error"),
                "param": self.param,
                "code": self.code,
            }
        }


def overloaded(retry_after: int) -> ServingError:
    """Say that too much waits already."""
    return ServingError(
        "too many requests are waiting",
        status=TOO_MANY,
        code="overloaded",
        mend=f"ask again in {retry_after} s",
        headers={"retry-after": str(retry_after)},
    )


def timed_out(seconds: float) -> ServingError:
    """Say that no answer came in time."""
    return ServingError(
        f"no answer within {seconds:g} s",
        status=TIMED_OUT,
        code="timeout",
        mend="ask again, or allow more time with x-request-timeout",
    )


def unavailable(fact: str, code: str) -> ServingError:
    """Say that the server can't take requests now."""
    return ServingError(
        fact,
        status=UNAVAILABLE,
        code=code,
        mend="ask again, or another instance",
        headers={"retry-after": "1"},
    )


def unanswerable(what: str) -> ServingError:
    """Say that the engine failed at this very request."""
    return ServingError(f"the engine failed at this text ({what})", status=SERVER_ERROR, code="engine_failed")


def client_left() -> ServingError:
    """End a request that nobody waits for any more."""
    return ServingError("the client has left", status=CLIENT_LEFT, code="client_left")
