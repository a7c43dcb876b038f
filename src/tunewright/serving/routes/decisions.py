"""``/v1/decisions``: OpenAI's typed choices, answered by a classifier where the choices are its labels.

A question that the classifier can't answer gets OpenAI's ``refusal``; the others are answered all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from tunewright.serving.call import answer_json
from tunewright.serving.endpoint import ASKING, Endpoint
from tunewright.serving.faults import ServingError

if TYPE_CHECKING:
    from starlette.responses import Response

    from tunewright.models.classifier import Prediction
    from tunewright.serving.call import Call

MOST_QUESTIONS = 400
"""OpenAI's own limit."""
MOST_CHOICES = 255
"""OpenAI's own limit."""
Named = str | None


class Choice(msgspec.Struct, frozen=True):
    """One of the values to choose from."""

    value: str | bool
    description: str | None = None


class ChoiceQuestion(msgspec.Struct, tag="choice", frozen=True):
    """Which of these? Answered where each choice is a label of the model."""

    choices: Annotated[list[Choice], msgspec.Meta(min_length=2, max_length=MOST_CHOICES)]
    instructions: str | list[dict[str, Any]] = ""
    name: Named = None


class PredicateQuestion(msgspec.Struct, tag="predicate", frozen=True):
    """How likely is it? Answered where the instructions are a label of the model."""

    instructions: str | list[dict[str, Any]] = ""
    name: Named = None


class ScoreQuestion(msgspec.Struct, tag="score", frozen=True):
    """How much? Always refused: a classifier's labels have no order that it knows of."""

    levels: list[dict[str, Any]] = []
    instructions: str | list[dict[str, Any]] = ""
    name: Named = None


class DecisionsBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A text and questions about it."""

    input: str | list[dict[str, Any]]
    questions: Annotated[
        list[ChoiceQuestion | PredicateQuestion | ScoreQuestion],
        msgspec.Meta(min_length=1, max_length=MOST_QUESTIONS),
    ]
    model: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    safety_identifier: str | None = None


class Weighed(msgspec.Struct, frozen=True):
    """A choice and its probability."""

    value: str | bool
    probability: float


class ChoiceAnswer(msgspec.Struct, tag="choice", frozen=True):
    """The likeliest choice."""

    choice: str | bool
    confidence: float
    probabilities: list[Weighed]
    name: Named


class PredicateAnswer(msgspec.Struct, tag="predicate", frozen=True):
    """How likely it is."""

    probability: float
    name: Named


class Refusal(msgspec.Struct, tag="refusal", frozen=True):
    """The model can't answer this question."""

    name: Named


class InputDetails(msgspec.Struct, frozen=True):
    """Nothing is cached."""

    cache_write_tokens: int = 0
    cached_tokens: int = 0


class OutputDetails(msgspec.Struct, frozen=True):
    """Nothing is written."""

    reasoning_tokens: int = 0


class DecisionUsage(msgspec.Struct, frozen=True):
    """Tokens that were read."""

    input_tokens: int
    total_tokens: int
    output_tokens: int = 0
    input_tokens_details: InputDetails = InputDetails()
    output_tokens_details: OutputDetails = OutputDetails()


class DecisionsAnswer(msgspec.Struct, frozen=True):
    """Answers in the order of the questions."""

    id: str
    answers: list[ChoiceAnswer | PredicateAnswer | Refusal]
    model: str
    usage: DecisionUsage
    object: Literal["decision"] = "decision"


def endpoints() -> Iterator[Endpoint]:
    """Give the endpoints."""
    choices = [{"value": "ham"}, {"value": "spam"}]
    yield Endpoint(
        "/v1/decisions",
        decide,
        "Answer typed questions about a text",
        takes=DecisionsBody,
        gives=DecisionsAnswer,
        examples={
            "a choice among the model's labels": {
                "input": "You have WON a prize, call now",
                "questions": [{"type": "choice", "instructions": "What is it?", "choices": choices}],
            }
        },
        faults=ASKING,
    )


async def decide(call: Call) -> Response:
    """Answer questions about one text."""
    body = await call.json(DecisionsBody)
    model = call.model(body.model)
    answer = await call.ask(model, [_text(body.input)])
    prediction = answer.found.predictions[0]
    return answer_json(
        DecisionsAnswer(
            answer.id,
            [_answered(question, prediction) for question in body.questions],
            answer.model.identity.name,
            DecisionUsage(answer.found.tokens, answer.found.tokens),
        )
    )


def _answered(
    question: ChoiceQuestion | PredicateQuestion | ScoreQuestion, prediction: Prediction
) -> ChoiceAnswer | PredicateAnswer | Refusal:
    """Answer one question, or refuse it."""
    if isinstance(question, ChoiceQuestion):
        return _chosen(question, prediction)
    if isinstance(question, PredicateQuestion) and isinstance(question.instructions, str):
        share = prediction.probabilities.get(question.instructions.strip())
        if share is not None:
            return PredicateAnswer(share, question.name)
    return Refusal(question.name)


def _chosen(question: ChoiceQuestion, prediction: Prediction) -> ChoiceAnswer | Refusal:
    """Choose among labels; of some of them, given that it is one of these."""
    values = [each.value for each in question.choices]
    if len(set(values)) < len(values):
        raise ServingError("has a choice twice", param="questions", code="invalid_value")
    shares = [prediction.probabilities.get(value) if isinstance(value, str) else None for value in values]
    known = [share for share in shares if share is not None]
    whole = sum(known)
    if len(known) < len(values) or not whole:
        return Refusal(question.name)
    # All labels together make 1: dividing by their sum would only add a rounding error.
    scale = 1.0 if len(values) == len(prediction.probabilities) else whole
    weighed = [Weighed(value, share / scale) for value, share in zip(values, known, strict=True)]
    best = max(weighed, key=lambda each: each.probability)
    return ChoiceAnswer(best.value, best.probability, weighed, question.name)


def _text(given: str | list[dict[str, Any]]) -> str:
    """Return the text of a request: itself, or what its user messages say.

    Raises:
        ServingError: When it holds what isn't text.
    """
    if isinstance(given, str):
        return given
    found: list[str] = []
    for at, message in enumerate(given):
        if message.get("type", "message") != "message":
            raise _not_text(f"input[{at}]")
        if message.get("role") == "user":
            content = message.get("content")
            parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
            if not isinstance(parts, list):
                raise _not_text(f"input[{at}].content")
            for part in parts:
                if not isinstance(part, dict) or not isinstance(part.get("text"), str):
                    raise _not_text(f"input[{at}].content")
                found.append(part["text"])
    if not found:
        raise ServingError("holds no user message", param="input", code="invalid_value")
    return "\n".join(found)


def _not_text(where: str) -> ServingError:
    return ServingError("is no text, and the model reads nothing else", param=where, code="invalid_value")
