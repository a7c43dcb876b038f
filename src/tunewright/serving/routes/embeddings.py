"""``/v1/embeddings``: what the model's last layer sees of texts, in OpenAI's shape."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import msgspec

from tunewright.serving.call import answer_json
from tunewright.serving.endpoint import ASKING, Endpoint
from tunewright.serving.faults import ServingError
from tunewright.serving.routes.classify import TokenUsage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from starlette.responses import Response

    from tunewright.serving.call import Call


class EmbeddingsBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Texts to embed."""

    input: str | list[str]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    """Only the model's own number of dimensions is taken."""
    user: str | None = None


class Embedding(msgspec.Struct, frozen=True):
    """The vector of one text."""

    index: int
    embedding: list[float] | str
    """Numbers, or little-endian float32 as base64."""
    object: Literal["embedding"] = "embedding"


class EmbeddingsAnswer(msgspec.Struct, frozen=True):
    """Vectors."""

    data: list[Embedding]
    model: str
    usage: TokenUsage
    object: Literal["list"] = "list"


def endpoints() -> Iterator[Endpoint]:
    """Give the endpoints."""
    yield Endpoint(
        "/v1/embeddings",
        embed,
        "Embed texts",
        takes=EmbeddingsBody,
        gives=EmbeddingsAnswer,
        examples={
            "one text": {"input": "You have WON a prize, call now"},
            "several, compact": {"input": ["See you at 8?", "WINNER!!"], "encoding_format": "base64"},
        },
        faults=ASKING,
    )


async def embed(call: Call) -> Response:
    """Embed one text or several."""
    body = await call.json(EmbeddingsBody)
    model = call.model(body.model)
    texts = [body.input] if isinstance(body.input, str) else body.input
    answer = await call.ask(model, texts, features=True)
    vectors = answer.found.features
    if body.dimensions not in (None, len(vectors[0])):
        raise ServingError(
            f"the model has {len(vectors[0])} dimensions and can't give {body.dimensions}",
            param="dimensions",
            code="invalid_value",
        )
    return answer_json(
        EmbeddingsAnswer(
            [Embedding(at, _written(vector, body.encoding_format)) for at, vector in enumerate(vectors)],
            answer.model.identity.name,
            TokenUsage(answer.found.tokens, answer.found.tokens),
        )
    )


def _written(vector: npt.NDArray[np.float32], form: Literal["float", "base64"]) -> list[float] | str:
    """Write a vector as it was asked for."""
    if form == "float":
        numbers: list[float] = vector.tolist()
        return numbers
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
