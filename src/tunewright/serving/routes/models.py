"""``/v1/models``: which models are served."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import msgspec

from tunewright.serving.call import answer_json
from tunewright.serving.endpoint import Endpoint

if TYPE_CHECKING:
    from starlette.responses import Response

    from tunewright.serving.call import Call
    from tunewright.serving.served import ServedModel


class ModelCard(msgspec.Struct, frozen=True):
    """One model."""

    id: str
    created: int
    """When it was opened, seconds since 1970."""
    version: str
    aliases: list[str]
    engine: str
    digest: str
    task: str
    labels: list[str]
    """Of a classifier."""
    max_tokens: int
    """That it reads: a classifier's longer texts are cut, as in training; a language model's prompts are refused."""
    object: Literal["model"] = "model"
    owned_by: str = "tunewright"


class ModelList(msgspec.Struct, frozen=True):
    """All models."""

    data: list[ModelCard]
    object: Literal["list"] = "list"


def endpoints() -> Iterator[Endpoint]:
    """Give the endpoints."""
    yield Endpoint("/v1/models", list_models, "List the models", method="GET", gives=ModelList, faults=(503,))
    yield Endpoint(
        "/v1/models/{model:path}",
        show_model,
        "Show one model",
        method="GET",
        gives=ModelCard,
        faults=(404, 503),
    )


async def list_models(call: Call) -> Response:
    """List the models."""
    return answer_json(ModelList([_card(call, model) for model in call.service.models]))


async def show_model(call: Call) -> Response:
    """Show one model."""
    return answer_json(_card(call, call.service.model(call.path_values["model"])))


def _card(call: Call, model: ServedModel) -> ModelCard:
    identity = model.identity
    return ModelCard(
        id=identity.id,
        created=int(call.service.since),
        version=identity.version,
        aliases=list(identity.aliases),
        engine=identity.form,
        digest=identity.digest,
        task=model.task,
        labels=list(model.label_names),
        max_tokens=model.max_tokens,
    )
