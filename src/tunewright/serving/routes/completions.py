"""``/v1/completions``: plain texts to be gone on from, as OpenAI's clients ask for them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from tunewright.serving.call import answer_json
from tunewright.serving.endpoint import ASKING, Endpoint
from tunewright.serving.faults import ServingError
from tunewright.serving.generation.wanted import Wanted
from tunewright.serving.routes.event_stream import EventStream
from tunewright.serving.routes.options import Count, Writes, WritingUsage
from tunewright.serving.routes.writing import begin, whole

if TYPE_CHECKING:
    from starlette.responses import Response

    from tunewright.serving.call import Call
    from tunewright.serving.generation.reading import Token
    from tunewright.serving.generation.wanted import PromptAsked
    from tunewright.serving.routes.writing import Answering

DEFAULT_TOKENS = 16
"""OpenAI's own."""
MOST_OTHERS = 5
"""OpenAI's own limit at this route."""
Id = Annotated[int, msgspec.Meta(ge=0)]
Ids = Annotated[list[Id], msgspec.Meta(min_length=1)]


class CompletionsBody(Writes, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Texts, or token ids, to be gone on from."""

    prompt: str | Annotated[list[str | Id | Ids], msgspec.Meta(min_length=1)]
    """A text; texts or lists of token ids, an answer to each; or the token ids of one prompt."""
    max_tokens: Count | None = None
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=MOST_OTHERS)] | None = None
    echo: Literal[False] | None = None
    best_of: Count | None = None
    suffix: None = None


class TextLogprobs(msgspec.Struct, frozen=True):
    """Likelihoods of the tokens, a list each."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class TextChoice(msgspec.Struct, frozen=True):
    """One answer, or what has come of it."""

    index: int
    text: str
    finish_reason: Literal["stop", "length"] | None
    logprobs: TextLogprobs | None = None


class CompletionsAnswer(msgspec.Struct, frozen=True):
    """All answers, or one event of a stream."""

    id: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: WritingUsage | None = None
    object: Literal["text_completion"] = "text_completion"


def endpoints() -> Iterator[Endpoint]:
    """Give the endpoints."""
    yield Endpoint(
        "/v1/completions",
        complete,
        "Go on from texts",
        takes=CompletionsBody,
        gives=CompletionsAnswer,
        examples={
            "a text": {"prompt": "Once upon a time", "max_tokens": 32},
            "several, drawn": {"prompt": ["Once", "There was"], "temperature": 1, "seed": 7},
            "as a stream": {"prompt": "Once upon a time", "stream": True, "stop": "."},
        },
        faults=ASKING,
    )


async def complete(call: Call) -> Response:
    """Go on from texts, at once or as a stream."""
    body = await call.json(CompletionsBody)
    answering = await begin(call, body.model, _wanted(call, body))
    head = (answering.id, int(time.time()), answering.model.identity.name, answering.fingerprint)
    if body.stream:
        options = body.stream_options
        events = _events(answering, head, with_usage=bool(options and options.include_usage))
        return EventStream(call, events, answering.close)
    found = await whole(answering)
    choices = [
        TextChoice(at, each.text, each.finish, _logprobs(each.tokens, 0)) for at, each in enumerate(found)
    ]
    return answer_json(CompletionsAnswer(*head, choices, answering.usage))


async def _events(
    answering: Answering, head: tuple[str, int, str, str], *, with_usage: bool
) -> AsyncIterator[object]:
    """Give the events of a stream."""
    said = [0] * len(answering.readers)
    async for at, delta in answering.deltas():
        if delta.text or delta.tokens or delta.finish:
            choice = TextChoice(at, delta.text, delta.finish, _logprobs(delta.tokens, said[at]))
            said[at] += sum(len(each.text) for each in delta.tokens)
            yield CompletionsAnswer(*head, [choice])
    if with_usage:
        yield CompletionsAnswer(*head, [], answering.usage)


def _wanted(call: Call, body: CompletionsBody) -> Wanted:
    """Read what is asked for."""
    limits = call.service.settings
    n = body.choices(limits)
    if body.best_of not in (None, n):
        raise ServingError("is taken only where it equals n", param="best_of", code="unsupported_value")
    sampling = body.sampling(
        limits,
        most=body.max_tokens or DEFAULT_TOKENS,
        logprobs=-1 if body.logprobs is None else body.logprobs,
    )
    return Wanted(
        _prompts(body.prompt),
        sampling,
        n=n,
        stops=body.stops(),
        streams=bool(body.stream),
        where="prompt",
        strips=False,
    )


def _prompts(given: str | list[str | int | list[int]]) -> tuple[PromptAsked, ...]:
    """Return the prompts; a list of numbers is one.

    Raises:
        ServingError: When numbers stand beside texts.
    """
    if isinstance(given, str):
        return (given,)
    numbers = tuple(each for each in given if isinstance(each, int))
    if not numbers:
        several = (each for each in given if not isinstance(each, int))
        return tuple(each if isinstance(each, str) else tuple(each) for each in several)
    if len(numbers) < len(given):
        raise ServingError(
            "holds numbers beside texts", param="prompt", code="invalid_value", mend="send one kind of them"
        )
    return (numbers,)


def _logprobs(tokens: Sequence[Token], offset: int) -> TextLogprobs | None:
    """Tell the likelihoods, where there are any."""
    if not tokens:
        return None
    offsets = []
    for each in tokens:
        offsets.append(offset)
        offset += len(each.text)
    others = [{other.text: other.logprob for other in each.others} for each in tokens]
    return TextLogprobs(
        [each.text for each in tokens],
        [each.logprob for each in tokens],
        others if any(others) else None,
        offsets,
    )
