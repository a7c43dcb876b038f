"""What goes over the wire: a request in OpenAI's words (and in vLLM's where those have none), and the events back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunewright.engines.interface import TokenScore
from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    import requests

    from tunewright.engines.interface import Request

PREFIX = "data:"
END = "[DONE]"


@dataclass(frozen=True, slots=True)
class Read:
    """What one event says."""

    ids: tuple[int, ...]
    scores: tuple[TokenScore, ...]
    reason: str | None
    """Why the answer ended, in the server's word."""


def body_of(request: Request, left: int, stop_ids: Sequence[int]) -> dict[str, Any]:
    """Say a request.

    Args:
        request: What is asked.
        left: Tokens that it may get.
        stop_ids: Any of them ends the answer, and is told as its last token.
    """
    sampling = request.sampling
    body: dict[str, Any] = {
        "prompt": list(request.prompt_ids),
        "max_tokens": left,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "stream": True,
        "return_token_ids": True,
        "include_stop_str_in_output": True,
        "skip_special_tokens": False,
        "stop_token_ids": list(stop_ids),
        "ignore_eos": sampling.ignores_stops,
    }
    if sampling.top_k:
        body["top_k"] = sampling.top_k
    if sampling.logprobs >= 0:
        body["logprobs"] = max(1, sampling.logprobs)
        body["return_tokens_as_token_ids"] = True
    if sampling.json_schema is not None:
        schema = {"name": "answer", "schema": json.loads(sampling.json_schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def choices(response: requests.Response) -> Iterator[dict[str, Any]]:
    """Read server-sent events up to the last; give the one choice of each.

    Raises:
        TunewrightError: When the server breaks off.
    """
    for line in response.iter_lines():
        text = line.decode("utf-8").strip()
        if not text.startswith(PREFIX):
            continue
        text = text.removeprefix(PREFIX).strip()
        if text == END:
            return
        event = json.loads(text)
        if "choices" not in event:
            raise TunewrightError(f"breaks off ({str(event)[:200]})", place=response.url)
        if event["choices"]:
            yield event["choices"][0]


def read_choice(choice: dict[str, Any], asked: int, *, place: str) -> Read:
    """Read one event's tokens and their scores.

    Args:
        choice: Of the event.
        asked: Alternatives that were asked for; -1: no scores.
        place: Names the server in errors.

    Raises:
        InputError: When the server tells no token ids: from text alone they can't be known.
    """
    scores = choice.get("logprobs") or {}
    ids = choice.get("token_ids")
    if ids is None and scores.get("tokens"):
        ids = [_numbered(name, place) for name in scores["tokens"]]
    if ids is None and choice.get("text"):
        raise _without_ids(place)
    values = (scores.get("token_logprobs") or ()) if asked >= 0 else ()
    others = scores.get("top_logprobs") or [{}] * len(values)
    told = tuple(
        TokenScore(float(value), _alternatives(each, asked, place))
        for value, each in zip(values, others, strict=False)
    )
    return Read(tuple(int(each) for each in ids or ()), told, choice.get("finish_reason"))


def _alternatives(others: dict[str, float] | None, asked: int, place: str) -> tuple[tuple[int, float], ...]:
    """Return the likeliest others, where asked for."""
    if asked < 1 or not others:
        return ()
    return tuple((_numbered(name, place), float(value)) for name, value in others.items())[:asked]


def _numbered(name: str, place: str) -> int:
    """Read ``token_id:42``."""
    head, _, number = name.partition(":")
    if head != "token_id" or not number.isdigit():
        raise _without_ids(place)
    return int(number)


def _without_ids(place: str) -> InputError:
    return InputError(
        "tells no token ids", place=place, mend="use a server that takes return_token_ids, such as vLLM"
    )
