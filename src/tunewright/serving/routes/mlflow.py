"""MLflow's scoring protocol: ``/invocations``, ``/ping`` and ``/version``, as its own server speaks it.

The answers are those of the packaged model: of a classifier one record a text (``registry/pyfunc_model.py``), of a
language model the answer to a conversation (``registry/chat_model.py``).
"""

from __future__ import annotations

import csv
import importlib.metadata
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from starlette.responses import Response

from tunewright.serving.call import JSON, answer_json, decoded
from tunewright.serving.endpoint import ASKING, Endpoint
from tunewright.serving.faults import UNAVAILABLE, UNSUPPORTED, ServingError
from tunewright.serving.generation.question import as_language_model
from tunewright.serving.routes.chat import EXAMPLE as CONVERSATION
from tunewright.serving.routes.chat import ChatBody, ChatMessage, answered
from tunewright.serving.routes.options import Count, Temperature, TopP  # noqa: TC001 -- msgspec reads the annotations
from tunewright.serving.service import TAKES_REQUESTS

if TYPE_CHECKING:
    from tunewright.models.classifier import Prediction
    from tunewright.serving.call import Call

CSV = "text/csv"
COLUMN = "text"
"""The column that is read where there are several; else the first."""
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
EXAMPLE = "You have WON a prize, call now"
DEFAULT_NEW_TOKENS = 256
"""Of the packaged model."""


Turns = Annotated[list[ChatMessage], msgspec.Meta(min_length=1)]


class Conversation(msgspec.Struct, frozen=True):
    """What ``inputs`` holds for a language model."""

    messages: Turns


class ScoringParams(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Options of the model."""

    probabilities: bool = False
    """Adds ``probability_LABEL`` of every label."""


class InvocationsBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Texts in one of MLflow's four forms, or a conversation; exactly one must be given."""

    dataframe_split: dict[str, Any] | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: list[Any] | dict[str, Any] | None = None
    inputs: str | list[Any] | dict[str, Any] | None = None
    params: ScoringParams | None = None
    messages: Turns | None = None
    """For a language model, which takes ``inputs: {messages: …}``, too."""
    max_tokens: Count | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stop: str | list[str] | None = None
    n: Count | None = None


class InvocationsAnswer(msgspec.Struct, frozen=True):
    """One record a text: ``label``, ``probability``, and what ``params`` asks for."""

    predictions: list[dict[str, str | float]]


def endpoints() -> Iterator[Endpoint]:
    """Give the endpoints."""
    yield Endpoint(
        "/invocations",
        invoke,
        "Classify texts, or answer a conversation, by MLflow's scoring protocol",
        takes=InvocationsBody,
        gives=InvocationsAnswer,
        examples={
            "inputs": {"inputs": [EXAMPLE], "params": {"probabilities": True}},
            "instances": {"instances": [EXAMPLE]},
            "dataframe_split": {"dataframe_split": {"columns": [COLUMN], "data": [[EXAMPLE]]}},
            "dataframe_records": {"dataframe_records": [{COLUMN: EXAMPLE}]},
            "a conversation": {"messages": CONVERSATION, "max_tokens": 32},
        },
        also_takes={CSV: f'{COLUMN}\n"{EXAMPLE}"\n'},
        faults=ASKING,
    )
    yield Endpoint("/ping", ping, "Tell whether requests are taken", method="GET", faults=(503,))
    yield Endpoint("/version", version, "Tell the version of MLflow", method="GET", faults=(503,))


async def invoke(call: Call) -> Response:
    """Classify the texts of a table, or answer a conversation."""
    body = await call.body()
    model = call.model(None)
    if model.task == "generation":
        return await _converse(call, body)
    params = ScoringParams()
    values: Sequence[Any]
    if call.content_type == CSV:
        where, values = "body", _csv_column(body)
    elif call.content_type == JSON:
        given = decoded(body, InvocationsBody)
        if given.messages is not None:
            as_language_model(model)
        params = given.params or params
        where, values = _column(given)
    else:
        raise ServingError(
            f"content type {call.content_type[:100]!r} isn't taken",
            status=UNSUPPORTED,
            mend=f"send {JSON} or {CSV}",
        )
    answer = await call.ask(model, _texts(values, where), where=where)
    return answer_json(InvocationsAnswer([_record(each, params) for each in answer.found.predictions]))


async def ping(call: Call) -> Response:
    """Answer 200 when requests are taken, else 503."""
    status = 200 if call.service.state in TAKES_REQUESTS else UNAVAILABLE
    return Response("\n", status_code=status, media_type=JSON)


async def version(call: Call) -> Response:  # noqa: ARG001 -- every handler takes the call
    """Answer with the version of MLflow whose protocol this is."""
    return Response(importlib.metadata.version("mlflow"), media_type=JSON)


async def _converse(call: Call, body: bytes) -> Response:
    """Answer a conversation as the packaged language model does: greedily where no temperature is asked for."""
    if call.content_type == CSV:
        raise ServingError(
            "holds no conversation, which a language model needs",
            param="body",
            code="wrong_task",
            mend=f"send {JSON}",
        )
    given = decoded(body, InvocationsBody)
    if given.messages is not None:
        return answer_json(await answered(call, _chat(given, given.messages)))
    answers = [await answered(call, _chat(given, each)) for each in _conversations(given)]
    return answer_json({"predictions": answers[0] if isinstance(given.inputs, dict) else answers})


def _chat(given: InvocationsBody, messages: list[ChatMessage]) -> ChatBody:
    return ChatBody(
        messages=messages,
        max_tokens=given.max_tokens or DEFAULT_NEW_TOKENS,
        # MLflow's own default is 1, which would make answers differ from call to call unasked.
        temperature=None if given.temperature == 1 else given.temperature,
        top_p=given.top_p,
        stop=given.stop,
        n=given.n,
    )


def _conversations(given: InvocationsBody) -> list[list[ChatMessage]]:
    """Return the conversations of a table with a column ``messages``.

    Raises:
        ServingError: When there is none.
    """
    where, rows = _rows(given)
    try:
        return [msgspec.convert(row, Conversation).messages for row in rows]
    except msgspec.ValidationError as error:
        raise ServingError(
            f"holds no conversation, which a language model needs ({error})",
            param=where,
            code="wrong_task",
            mend='send {"messages": [{"role": "user", "content": "…"}]}',
        ) from None


def _rows(given: InvocationsBody) -> tuple[str, list[object]]:
    """Return which form was given, and its rows as records."""
    form, value = _form(given)
    if form == "dataframe_split":
        columns, rows = value.get("columns"), value.get("data")
        if not isinstance(columns, list) or not isinstance(rows, list):
            raise ServingError("has no columns or no rows", param=form, code="invalid_value")
        names = [str(each) for each in columns]
        return form, [dict(zip(names, row, strict=False)) if isinstance(row, list) else row for row in rows]
    return form, value if isinstance(value, list) else [value]


def _record(prediction: Prediction, params: ScoringParams) -> dict[str, str | float]:
    """Return one row of the packaged model's answer."""
    record: dict[str, str | float] = {"label": prediction.label, "probability": prediction.probability}
    if params.probabilities:
        record |= {f"probability_{name}": share for name, share in prediction.probabilities.items()}
    return record


def _column(body: InvocationsBody) -> tuple[str, Sequence[Any]]:
    """Return which form was given, and its texts.

    Raises:
        ServingError: When none or several were, or it isn't a table.
    """
    form, value = _form(body)
    if form == "dataframe_split":
        columns, rows = value.get("columns"), value.get("data")
        if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
            raise ServingError("has no rows", param=f"{form}.data", code="invalid_value")
        at = columns.index(COLUMN) if isinstance(columns, list) and COLUMN in columns else 0
        return form, [row[at] if at < len(row) else None for row in rows]
    if isinstance(value, str):
        return form, [value]
    if isinstance(value, dict):
        column = _of_columns(value)
        return form, column if isinstance(column, list) else [column]
    return form, [_cell(row) for row in value]


def _form(body: InvocationsBody) -> tuple[str, Any]:
    """Return which form was given, and what it holds.

    Raises:
        ServingError: When none or several were.
    """
    given = [name for name in FORMS if getattr(body, name) is not None]
    if len(given) != 1:
        fact = f"gives {' and '.join(given)}" if given else "gives no input"
        raise ServingError(fact, param="body", code="invalid_value", mend=f"give one of {', '.join(FORMS)}")
    return given[0], getattr(body, given[0])


def _cell(row: object) -> object:
    """Return the text of one row, which may stand alone, in a list or in a record."""
    if isinstance(row, dict):
        return _of_columns(row)
    if isinstance(row, list) and len(row) == 1:
        return row[0]
    return row


def _of_columns(table: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Return the column of texts: ``text``, else the first."""
    return table.get(COLUMN, next(iter(table.values()), None))


def _csv_column(body: bytes) -> list[str | None]:
    """Return the texts of a CSV table; a first column without a name is pandas' index.

    Raises:
        ServingError: When it isn't a table.
    """
    try:
        rows = list(csv.reader(io.StringIO(body.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ServingError(
            f"is not CSV in UTF-8 ({error.__class__.__name__})", param="body", code="invalid_csv"
        ) from None
    if not rows:
        raise ServingError("is empty", param="body", code="invalid_csv")
    head = rows[0]
    at = head.index(COLUMN) if COLUMN in head else int(len(head) > 1 and not head[0])
    return [(row[at] or None) if at < len(row) else None for row in rows[1:] if row]


def _texts(values: Sequence[Any], where: str) -> list[str]:
    """Return the values as texts.

    Raises:
        ServingError: For the first that is none.
    """
    for row, value in enumerate(values, start=1):
        if value is None:
            raise ServingError(f"row {row} holds no text", param=where, code="invalid_value")
        if not isinstance(value, str):
            raise ServingError(
                f"row {row} is {type(value).__name__}, not text", param=where, code="invalid_value"
            )
    return list(values)
