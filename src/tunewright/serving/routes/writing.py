"""What both routes that write have in common: the question put, the answers read, and the record of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.serving.asked import AnsweredText, new_prediction_id
from tunewright.serving.faults import ServingError
from tunewright.serving.generation.question import WritingQuestion, as_language_model
from tunewright.serving.generation.reading import Delta, Reader
from tunewright.serving.generation.wanted import length
from tunewright.serving.routes.options import WritingUsage

if TYPE_CHECKING:
    from tunewright.serving.call import Call
    from tunewright.serving.generation.begun import Begun
    from tunewright.serving.generation.served import ServedLanguageModel
    from tunewright.serving.generation.wanted import Wanted

FINGERPRINT = 12
"""Characters of the weights' digest that name them."""


@dataclass(frozen=True, slots=True)
class Answering:
    """The answers to a request, on their way; it must be closed."""

    call: Call
    id: str
    """Of the request; the choice at position i has ``ID-i``."""
    begun: Begun
    readers: tuple[Reader, ...]

    @property
    def model(self) -> ServedLanguageModel:
        """Who answers."""
        return self.begun.model

    @property
    def fingerprint(self) -> str:
        """Names version and weights, as OpenAI's field of that name does."""
        identity = self.model.identity
        return f"{identity.version}-{identity.digest[:FINGERPRINT]}"

    @property
    def usage(self) -> WritingUsage:
        """Tokens so far."""
        read, written = self.begun.tokens, self.begun.written
        return WritingUsage(read, written, read + written)

    async def deltas(self) -> AsyncIterator[tuple[int, Delta]]:
        """Give what comes, with the number of its choice.

        Raises:
            ServingError: When an answer can't be written.
        """
        if len(self.readers) == 1:
            while self.readers[0].finish is None:
                yield 0, await self.readers[0].next()
            return
        going = {asyncio.ensure_future(each.next()): at for at, each in enumerate(self.readers)}
        try:
            while going:
                done, _ = await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=going.__getitem__):
                    at = going.pop(task)
                    yield at, task.result()
                    if self.readers[at].finish is None:
                        going[asyncio.ensure_future(self.readers[at].next())] = at
        finally:
            for task in going:
                task.cancel()

    def close(self) -> None:
        """Write down what was answered, and stop what isn't written yet."""
        asked, begun = self.call.asked, self.begun
        asked.tokens_out = begun.written
        asked.answered = [
            AnsweredText(f"{self.id}-{at}", text, tokens, answer=reader.text, tokens_out=len(writing.ids))
            for at, ((text, tokens), writing, reader) in enumerate(
                zip(_asked_by_each(begun), begun.writings, self.readers, strict=True)
            )
        ]
        begun.close()


async def begin(call: Call, name: str | None, wanted: Wanted) -> Answering:
    """Ask a language model; return when the answers, or, for a stream, the first token of one, are there.

    Args:
        call: The request.
        name: Of the model.
        wanted: What is to be written.

    Raises:
        ServingError: When a limit is passed, there is no such model, or it doesn't answer.
    """
    _check(call, wanted)
    asked, rollout = call.asked, call.service.rollout
    model = as_language_model(call.model(name))
    asked.identity = model.identity
    question = WritingQuestion(
        wanted,
        caller=asked.caller.name,
        arrival=asked.arrival,
        seconds=asked.seconds(call.service.settings.timeout_s),
        leaving=call.left,
    )
    _, begun = await (rollout.ask(model, question) if rollout else question.to(model))
    model = begun.model
    asked.identity = model.identity
    readers = tuple(Reader(each, model.side, wanted.stops, strips=wanted.strips) for each in begun.writings)
    answering = Answering(call, new_prediction_id(), begun, readers)
    asked.answered = [
        AnsweredText(f"{answering.id}-{at}", text, tokens)
        for at, (text, tokens) in enumerate(_asked_by_each(begun))
    ]
    asked.tokens, asked.queue_seconds = begun.tokens, begun.queue_seconds
    asked.answered_after = time.monotonic() - asked.arrival
    return answering


async def whole(answering: Answering) -> Sequence[Delta]:
    """Return all answers when they are there, and close the request.

    Raises:
        ServingError: When one can't be written.
    """
    try:
        return [await reader.all() for reader in answering.readers]
    finally:
        answering.close()


def _asked_by_each(begun: Begun) -> list[tuple[str, int]]:
    """Return prompt and its tokens for each choice."""
    times = len(begun.writings) // len(begun.prompts)
    return [(prompt.text, len(prompt.ids)) for prompt in begun.prompts for _ in range(times)]


def _check(call: Call, wanted: Wanted) -> None:
    """Look at the server's limits."""
    limits = call.service.settings
    answers = len(wanted.prompts) * wanted.n
    if answers > limits.max_texts:
        raise ServingError(
            f"asks for {answers:,} answers, allowed are {limits.max_texts:,}",
            param=wanted.where,
            code="too_many_texts",
            mend="ask in several requests",
        )
    for each in wanted.prompts:
        if (characters := length(each)) > limits.max_characters:
            raise ServingError(
                f"has {characters:,} characters, allowed are {limits.max_characters:,}",
                param=wanted.where,
                code="text_too_long",
                mend="send less",
            )
