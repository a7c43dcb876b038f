"""``/v1/tokenize``: how a model reads a text, token by token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import msgspec

from tunewright.serving.call import answer_json
from tunewright.serving.endpoint import ASKING, Endpoint

if TYPE_CHECKING:
    from starlette.responses import Response

    from tunewright.serving.call import Call


class TokenizeBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A text to split."""

    input: str
    model: str | None = None


class TokenFacts(msgspec.Struct, frozen=True):
    """One token."""

    id: int
    token: str
    """As it stands in the vocabulary."""
    text: str
    """What it covers of the text; empty for a token that the tokenizer adds."""
    start: int
    """Of that in ``text``, in code points."""
    end: int


class TokenizeAnswer(msgspec.Struct, frozen=True):
    """The tokens that the model is given."""

    model: str
    model_version: str
    text: str
    """The text as it was cleaned: offsets are of this one."""
    tokens: list[TokenFacts]
    cut: int
    """Tokens at its end that the model isn't given, for the text is too long."""
    object: Literal["tokens"] = "tokens"


def endpoints() -> Iterator[Endpoint]:
    """Give the endpoints."""
    yield Endpoint(
        "/v1/tokenize",
        tokenize,
        "Show how a text becomes tokens",
        takes=TokenizeBody,
        gives=TokenizeAnswer,
        examples={"a text": {"input": "You have WON a prize, call now"}},
        faults=ASKING,
    )


async def tokenize(call: Call) -> Response:
    """Split one text; no model works for it, but its tokens count towards the key's limit."""
    body = await call.json(TokenizeBody)
    model = call.model(body.model)
    call.require_sizes([body.input], "input")
    call.asked.identity = model.identity
    found = await model.split(body.input)
    call.asked.tokens = len(found.tokens)
    tokens = [TokenFacts(each.id, each.token, each.text, each.start, each.end) for each in found.tokens]
    identity = model.identity
    return answer_json(TokenizeAnswer(identity.name, identity.version, found.text, tokens, found.cut))
