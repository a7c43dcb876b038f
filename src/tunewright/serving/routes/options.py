"""The options of OpenAI's that say how an answer is written, as both routes that write take them."""

from __future__ import annotations

from collections.abc import Sequence
from secrets import randbits
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from tunewright.engines.interface import Sampling
from tunewright.serving.faults import ServingError

if TYPE_CHECKING:
    from tunewright.config.serving import ServingConfig

SEED_BITS = 31
MOST_STOPS = 4
"""OpenAI's own limit."""
MOST_STOP_CHARACTERS = 200
MOST_OTHERS = 20
"""Likeliest other tokens that may be asked for; OpenAI's own limit."""
Count = Annotated[int, msgspec.Meta(ge=1)]
Seed = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=2, description="0, the default: the likeliest token.")]
TopP = Annotated[float, msgspec.Meta(gt=0, le=1)]
TopK = Annotated[int, msgspec.Meta(ge=0, description="0: all tokens. Not OpenAI's.")]
Nothing = Annotated[float, msgspec.Meta(ge=0, le=0)]


class StreamOptions(msgspec.Struct, frozen=True):
    """What a stream tells besides."""

    include_usage: bool = False
    include_obfuscation: bool = False


class Writes(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What both routes take."""

    model: str | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK = 0
    n: Count | None = None
    seed: Seed | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    frequency_penalty: Nothing | None = None
    """Only 0 is taken: no engine here heeds it."""
    presence_penalty: Nothing | None = None
    logit_bias: dict[str, Nothing] | None = None
    user: str | None = None

    def choices(self, limits: ServingConfig) -> int:
        """Return how many answers to each prompt are wanted.

        Raises:
            ServingError: When they are too many.
        """
        n = self.n or 1
        if n > limits.max_choices:
            raise ServingError(f"is {n}, allowed are {limits.max_choices}", param="n", code="invalid_value")
        return n

    def stops(self) -> tuple[str, ...]:
        """Return the words before which an answer ends.

        Raises:
            ServingError: When they are too many, too long or empty.
        """
        found = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        if len(found) > MOST_STOPS or not all(0 < len(each) <= MOST_STOP_CHARACTERS for each in found):
            raise ServingError(
                f"takes up to {MOST_STOPS} words of 1 to {MOST_STOP_CHARACTERS} characters",
                param="stop",
                code="invalid_value",
            )
        return found

    def sampling(
        self, limits: ServingConfig, *, most: int | None, logprobs: int, schema: str | None = None
    ) -> Sampling:
        """Return how tokens are chosen.

        Args:
            limits: The server's.
            most: Tokens that the request allows.
            logprobs: Likeliest others that are told; -1: not even the token's own likelihood.
            schema: JSON schema of the answer.
        """
        seed = randbits(SEED_BITS) if self.seed is None else self.seed % (1 << SEED_BITS)
        return Sampling(
            max_new_tokens=min(most or limits.max_new_tokens, limits.max_new_tokens),
            temperature=self.temperature or 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            top_k=self.top_k,
            seed=seed,
            logprobs=logprobs,
            json_schema=schema,
        )


class JsonSchema(msgspec.Struct, frozen=True):
    """A schema with its name."""

    name: str = ""
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct, frozen=True):
    """What the answer looks like."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchema | None = None

    def schema(self) -> str | None:
        """Return the schema as JSON text; None for plain text.

        Raises:
            ServingError: When there is none in it.
        """
        if self.type == "text":
            return None
        if self.type == "json_object":
            return '{"type":"object"}'
        if self.json_schema is None or self.json_schema.schema is None:
            raise ServingError("is missing", param="response_format.json_schema.schema", code="invalid_value")
        return msgspec.json.encode(self.json_schema.schema).decode()


class WritingUsage(msgspec.Struct, frozen=True):
    """Tokens that were read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


def one_of(names: Sequence[str], given: Sequence[object]) -> None:
    """Refuse fields of which only one may be given.

    Raises:
        ServingError: When several are.
    """
    if sum(each is not None for each in given) > 1:
        raise ServingError(
            f"only one of {' and '.join(names)} may be given", param=names[0], code="invalid_value"
        )
