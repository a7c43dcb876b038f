"""``/v1/classify``: labels and probabilities of texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from tunewright.serving.call import answer_json
from tunewright.serving.endpoint import ASKING, Endpoint

if TYPE_CHECKING:
    from starlette.responses import Response

    from tunewright.models.classifier import Prediction
    from tunewright.serving.call import Call


class ClassifyBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Texts to classify."""

    input: str | list[str]
    model: str | None = None
    top: Annotated[int, msgspec.Meta(ge=1, description="Probabilities a text, the largest first.")] | None = (
        None
    )
    user: str | None = None


class TokenUsage(msgspec.Struct, frozen=True):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class Classified(msgspec.Struct, frozen=True):
    """The answer to one text."""

    index: int
    id: str
    """Under which it is found again."""
    label: str
    probability: float
    probabilities: dict[str, float]


class ClassifyAnswer(msgspec.Struct, frozen=True):
    """Labels and probabilities."""

    id: str
    model: str
    model_version: str
    data: list[Classified]
    usage: TokenUsage
    object: Literal["classification"] = "classification"


def endpoints() -> Iterator[Endpoint]:
    """Give the endpoints."""
    yield Endpoint(
        "/v1/classify",
        classify,
        "Classify texts",
        takes=ClassifyBody,
        gives=ClassifyAnswer,
        examples={
            "one text": {"input": "You have WON a prize, call now"},
            "several, the likeliest label alone": {"input": ["See you at 8?", "WINNER!!"], "top": 1},
        },
        faults=ASKING,
    )


async def classify(call: Call) -> Response:
    """Classify one text or several."""
    body = await call.json(ClassifyBody)
    model = call.model(body.model)
    texts = [body.input] if isinstance(body.input, str) else body.input
    answer = await call.ask(model, texts)
    return answer_json(
        ClassifyAnswer(
            id=answer.id,
            model=answer.model.identity.name,
            model_version=answer.model.identity.version,
            data=[
                Classified(
                    at,
                    f"{answer.id}-{at}",
                    prediction.label,
                    prediction.probability,
                    _largest(prediction, body.top),
                )
                for at, prediction in enumerate(answer.found.predictions)
            ],
            usage=TokenUsage(answer.found.tokens, answer.found.tokens),
        )
    )


def _largest(prediction: Prediction, top: int | None) -> dict[str, float]:
    """Return the probabilities that are told."""
    shares = prediction.probabilities
    if top is None:
        return dict(shares)
    return dict(sorted(shares.items(), key=lambda each: -each[1])[:top])
