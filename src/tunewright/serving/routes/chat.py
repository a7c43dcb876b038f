"""``/v1/chat/completions``: conversations, as OpenAI's clients ask for them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from tunewright.data.chat.rows import Message, Role
from tunewright.serving.call import answer_json
from tunewright.serving.endpoint import ASKING, Endpoint
from tunewright.serving.faults import ServingError
from tunewright.serving.generation.wanted import Wanted
from tunewright.serving.routes.event_stream import EventStream
from tunewright.serving.routes.options import (
    MOST_OTHERS,
    Count,
    ResponseFormat,
    Writes,
    WritingUsage,
    one_of,
)
from tunewright.serving.routes.writing import begin, whole

if TYPE_CHECKING:
    from starlette.responses import Response

    from tunewright.serving.call import Call
    from tunewright.serving.generation.reading import Token
    from tunewright.serving.routes.writing import Answering

EXAMPLE = [{"role": "user", "content": "Order 4471 hasn't come."}]
ROLES: dict[str, Role] = {"developer": "system"}
"""OpenAI's newer words for a role."""


class TextPart(msgspec.Struct, tag="text", frozen=True):
    """A part of a message; only texts are taken."""

    text: str


class ChatMessage(msgspec.Struct, frozen=True):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    refusal: str | None = None


class ChatBody(Writes, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A conversation to be gone on with."""

    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1)]
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=MOST_OTHERS)] | None = None
    response_format: ResponseFormat | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None


class OtherToken(msgspec.Struct, frozen=True):
    """A token that might have stood there."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(msgspec.Struct, frozen=True):
    """A token of the answer."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[OtherToken]


class ChatLogprobs(msgspec.Struct, frozen=True):
    """Likelihoods of the tokens."""

    content: list[TokenLogprob]
    refusal: None = None


class AnswerMessage(msgspec.Struct, frozen=True):
    """The answer."""

    content: str
    role: Literal["assistant"] = "assistant"
    refusal: None = None


class ChatChoice(msgspec.Struct, frozen=True):
    """One answer."""

    index: int
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    logprobs: ChatLogprobs | None = None


class ChatAnswer(msgspec.Struct, frozen=True):
    """All answers."""

    id: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: WritingUsage
    object: Literal["chat.completion"] = "chat.completion"


class DeltaMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has come."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(msgspec.Struct, frozen=True):
    """What has come of one answer."""

    index: int
    delta: DeltaMessage
    finish_reason: Literal["stop", "length"] | None = None
    logprobs: ChatLogprobs | None = None


class ChatChunk(msgspec.Struct, frozen=True):
    """One event of a stream."""

    id: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: WritingUsage | None = None
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"


def endpoints() -> Iterator[Endpoint]:
    """Give the endpoints."""
    yield Endpoint(
        "/v1/chat/completions",
        chat,
        "Answer a conversation",
        takes=ChatBody,
        gives=ChatAnswer,
        examples={
            "a question": {"messages": EXAMPLE},
            "as a stream": {"messages": EXAMPLE, "stream": True, "stream_options": {"include_usage": True}},
            "drawn twice": {"messages": EXAMPLE, "temperature": 0.8, "seed": 7, "n": 2, "max_tokens": 32},
        },
        faults=ASKING,
    )


async def chat(call: Call) -> Response:
    """Answer a conversation, at once or as a stream."""
    body = await call.json(ChatBody)
    if not body.stream:
        return answer_json(await answered(call, body))
    answering = await begin(call, body.model, _wanted(call, body))
    options = body.stream_options
    events = _events(answering, int(time.time()), with_usage=bool(options and options.include_usage))
    return EventStream(call, events, answering.close)


async def answered(call: Call, body: ChatBody) -> ChatAnswer:
    """Answer a conversation at once.

    Raises:
        ServingError: When it can't be answered.
    """
    answering = await begin(call, body.model, _wanted(call, body))
    found = await whole(answering)
    return ChatAnswer(
        answering.id,
        int(time.time()),
        answering.model.identity.name,
        answering.fingerprint,
        [
            ChatChoice(at, AnswerMessage(each.text), each.finish or "length", _logprobs(each.tokens))
            for at, each in enumerate(found)
        ],
        answering.usage,
    )


async def _events(answering: Answering, created: int, *, with_usage: bool) -> AsyncIterator[object]:
    """Give the events of a stream."""
    head = (answering.id, created, answering.model.identity.name, answering.fingerprint)
    for at in range(len(answering.readers)):
        yield ChatChunk(*head, [ChunkChoice(at, DeltaMessage("assistant", ""))])
    async for at, delta in answering.deltas():
        if delta.text or delta.tokens:
            yield ChatChunk(
                *head,
                [ChunkChoice(at, DeltaMessage(content=delta.text), logprobs=_logprobs(delta.tokens))],
            )
        if delta.finish:
            yield ChatChunk(*head, [ChunkChoice(at, DeltaMessage(), delta.finish)])
    if with_usage:
        yield ChatChunk(*head, [], answering.usage)


def _wanted(call: Call, body: ChatBody) -> Wanted:
    """Read what is asked for."""
    limits = call.service.settings
    one_of(("max_tokens", "max_completion_tokens"), (body.max_tokens, body.max_completion_tokens))
    if body.top_logprobs is not None and not body.logprobs:
        raise ServingError("needs logprobs to be true", param="top_logprobs", code="invalid_value")
    sampling = body.sampling(
        limits,
        most=body.max_tokens or body.max_completion_tokens,
        logprobs=(body.top_logprobs or 0) if body.logprobs else -1,
        schema=body.response_format.schema() if body.response_format else None,
    )
    return Wanted(
        (tuple(_message(each, at) for at, each in enumerate(body.messages)),),
        sampling,
        n=body.choices(limits),
        stops=body.stops(),
        streams=bool(body.stream),
    )


def _message(given: ChatMessage, at: int) -> Message:
    """Return a turn as templates know it."""
    if given.tool_calls or given.role == "tool":
        raise ServingError(
            "calls of tools aren't taken",
            param=f"messages[{at}]",
            code="unsupported_value",
            mend="send texts",
        )
    content = given.content
    if isinstance(content, list):
        content = "".join(part.text for part in content)
    role = ROLES.get(given.role) or given.role
    return Message(role=role, content=content or "", name=given.name)


def _logprobs(tokens: Sequence[Token]) -> ChatLogprobs | None:
    """Tell the likelihoods, where there are any."""
    if not tokens:
        return None
    return ChatLogprobs(
        [
            TokenLogprob(
                each.text,
                each.logprob,
                list(each.data),
                [OtherToken(other.text, other.logprob, list(other.data)) for other in each.others],
            )
            for each in tokens
        ]
    )
