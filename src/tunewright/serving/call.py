"""What a route is given: the request's body within its limits, and the way to the model."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.responses import Response

from tunewright.serving.asked import AnsweredText, new_prediction_id
from tunewright.serving.faults import UNSUPPORTED, ServingError, client_left, timed_out, unavailable
from tunewright.serving.gate import too_large
from tunewright.serving.rollout.question import Question

if TYPE_CHECKING:
    from starlette.types import Receive

    from tunewright.serving.asked import Asked
    from tunewright.serving.classifying import Answered
    from tunewright.serving.served import ServedModel
    from tunewright.serving.service import Service

JSON = "application/json"
PLACE = re.compile(r"(?P<what>.*) - at `\$\.?(?P<where>[^`]*)`")
"""msgspec's words for a field that is wrong."""
AnyBody = TypeVar("AnyBody")


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer with the id under which it is found again."""

    model: ServedModel
    id: str
    """Of the request; the text at position i has ``ID-i``."""
    found: Answered


@dataclass(frozen=True, slots=True)
class Call:
    """One request at its route."""

    service: Service
    asked: Asked
    receive: Receive
    path_values: dict[str, Any]
    """Values of the route's pattern."""

    @property
    def content_type(self) -> str:
        """Of the body, without parameters; JSON where none is given."""
        return self.asked.headers.get("content-type", JSON).partition(";")[0].strip().lower() or JSON

    async def body(self) -> bytes:
        """Read the whole body.

        Raises:
            ServingError: When it is too large, doesn't come in time, or the client leaves.
        """
        message = await self.receive()
        if not message.get("more_body", False) and message["type"] == "http.request":
            return self._within(message.get("body", b""))
        seconds = self.service.settings.timeout_s
        try:
            return await asyncio.wait_for(self._rest(message), seconds)
        except asyncio.TimeoutError:
            raise timed_out(seconds) from None

    async def json(self, kind: type[AnyBody]) -> AnyBody:
        """Read a JSON body.

        Raises:
            ServingError: When it isn't what is expected; it names the field.
        """
        if self.content_type != JSON and not self.content_type.endswith("+json"):
            raise ServingError(
                f"content type {self.content_type[:100]!r} isn't taken",
                status=UNSUPPORTED,
                mend=f"send {JSON}",
            )
        return decoded(await self.body(), kind)

    async def left(self) -> None:
        """Return when the client has left."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    def model(self, name: str | None) -> ServedModel:
        """Return the model that the request means; where versions share the traffic, the one whose turn it is.

        Raises:
            ServingError: When there is no such model, or it is one beside the first and has no worker.
        """
        rollout = self.service.rollout
        found = rollout.model(name, self.asked) if rollout else self.service.model(name)
        if found.identity.called and found.is_down:
            raise unavailable(f"the worker of {found.identity.called} has been gone for too long", "down")
        return found

    async def ask(
        self, model: ServedModel, texts: Sequence[str], *, features: bool = False, where: str = "input"
    ) -> Answer:
        """Let a model answer texts, after a look at the limits.

        Args:
            model: Which.
            texts: As they came.
            features: Whether features are wanted.
            where: The field with the texts, for errors.

        Raises:
            ServingError: When they are too many or too long, or ``ServedModel.ask`` raises one.
        """
        self.require_sizes(texts, where)
        asked = self.asked
        asked.identity = model.identity
        question = Question(
            texts,
            caller=asked.caller.name,
            arrival=asked.arrival,
            seconds=asked.seconds(self.service.settings.timeout_s),
            leaving=self.left,
            features=features,
        )
        rollout = self.service.rollout
        model, found = await (rollout.ask(model, question) if rollout else question.to(model))
        asked.identity = model.identity
        name = new_prediction_id()
        asked.answered = [
            AnsweredText(f"{name}-{at}", text, tokens, prediction)
            for at, (text, tokens, prediction) in enumerate(
                zip(texts, found.text_tokens, found.predictions, strict=True)
            )
        ]
        asked.tokens = found.tokens
        asked.queue_seconds, asked.answered_after = found.queue_seconds, time.monotonic() - asked.arrival
        return Answer(model, name, found)

    def require_sizes(self, texts: Sequence[str], where: str) -> None:
        """Let texts through that are within the limits.

        Raises:
            ServingError: When they are none, too many or too long.
        """
        limits = self.service.settings
        if not texts:
            raise ServingError("is empty", param=where, code="invalid_value", mend="send at least one text")
        if len(texts) > limits.max_texts:
            raise ServingError(
                f"has {len(texts):,} texts, allowed are {limits.max_texts:,}",
                param=where,
                code="too_many_texts",
                mend="send them in several requests",
            )
        for row, text in enumerate(texts):
            if len(text) > limits.max_characters:
                raise ServingError(
                    f"has {len(text):,} characters, allowed are {limits.max_characters:,}",
                    param=f"{where}[{row}]",
                    code="text_too_long",
                    mend="send a shorter text",
                )

    async def _rest(self, message: Any) -> bytes:  # noqa: ANN401 -- an ASGI message
        """Read a body that comes in pieces."""
        pieces: list[bytes] = []
        size = 0
        while message["type"] == "http.request":
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > self.service.settings.max_body_bytes or not message.get("more_body", False):
                return self._within(b"".join(pieces))
            message = await self.receive()
        raise client_left()

    def _within(self, body: bytes) -> bytes:
        if len(body) > self.service.settings.max_body_bytes:
            raise too_large(self.service.settings.max_body_bytes)
        return body


def decoded(body: bytes, kind: type[AnyBody]) -> AnyBody:
    """Read JSON.

    Raises:
        ServingError: When it isn't JSON, or not of that kind; it names the field.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        found = PLACE.fullmatch(str(error))
        what = found["what"] if found else str(error)
        raise ServingError(
            _lowered(what), param=(found and found["where"]) or "body", code="invalid_value"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ServingError("is not valid JSON", param="body", code="invalid_json") from None


def answer_json(value: object) -> Response:
    """Return a JSON answer."""
    return Response(msgspec.json.encode(value), media_type=JSON)


def _lowered(words: str) -> str:
    return words[:1].lower() + words[1:]
