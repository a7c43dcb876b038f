"""``/v1/feedback``: what people say of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import msgspec
from pydantic import ValidationError

from tunewright.monitoring.feedback import Feedback
from tunewright.serving.call import answer_json
from tunewright.serving.endpoint import Endpoint
from tunewright.serving.faults import NOT_FOUND, ServingError

if TYPE_CHECKING:
    from starlette.responses import Response

    from tunewright.serving.call import Call


class FeedbackBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A label, a rating or a better answer, at least one of them."""

    prediction_id: str
    """The id of one text's answer, as in ``data[].id``; of a request with one text ``x-prediction-id`` does as well."""
    label: str | None = None
    """What the text really is."""
    rating: Literal["good", "bad"] | None = None
    answer: str | None = None
    """What a language model should have written."""
    comment: str | None = None


class FeedbackTaken(msgspec.Struct, frozen=True):
    """It is on disk."""

    prediction_id: str
    time: str
    object: Literal["feedback"] = "feedback"


def endpoints() -> Iterator[Endpoint]:
    """Give the endpoints."""
    yield Endpoint(
        "/v1/feedback",
        give,
        "Say what an answer should have been",
        takes=FeedbackBody,
        gives=FeedbackTaken,
        examples={
            "a rating": {"prediction_id": "pred_019aa0b1c2d30123456789abcdef-0", "rating": "bad"},
        },
        faults=(400, 404, 413, 415, 500),
    )


async def give(call: Call) -> Response:
    """Keep feedback on one answer."""
    body = await call.json(FeedbackBody)
    desk = call.service.feedback
    if desk is None:
        raise ServingError(
            "this server keeps no feedback",
            status=NOT_FOUND,
            code="feedback_not_kept",
            mend="start it inside a project",
        )
    kept = await desk.take(_checked(body, call.asked.caller.key))
    return answer_json(FeedbackTaken(kept.prediction_id, kept.time.isoformat(timespec="milliseconds")))


def _checked(body: FeedbackBody, key: str) -> Feedback:
    """Return feedback within its limits.

    Raises:
        ServingError: When it says nothing, or too much; it names the field.
    """
    try:
        return Feedback.model_validate({**msgspec.structs.asdict(body), "key": key})
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        if first["loc"] == ("prediction_id",):
            raise ServingError(
                "is no prediction id", status=NOT_FOUND, code="prediction_not_found", param="prediction_id"
            ) from None
        raise ServingError(
            first["msg"].removeprefix("Value error, "),
            param=".".join(map(str, first["loc"])) or "body",
            code="invalid_value",
        ) from None
