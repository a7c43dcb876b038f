"""From a served answer to the model version that gave it, and to the rows that the version learned from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tunewright.data.dataset import Facts
from tunewright.monitoring.feedback import FILE as FEEDBACK
from tunewright.monitoring.feedback import Feedback, read_feedback
from tunewright.monitoring.reading import find
from tunewright.monitoring.request_log import FOLDER as REQUESTS
from tunewright.pipeline.tracing.facts import RowTrace, VersionTrace  # noqa: TC001 - pydantic reads it at run time
from tunewright.pipeline.tracing.row import RowAsked, trace_row
from tunewright.pipeline.tracing.version import Listing, trace_version
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from tunewright.pipeline.project import Project

ONE_TEXT = re.compile(r".+-\d+")


class ServedAnswer(Facts):
    """What the request log and feedback say of an answer."""

    prediction_id: str
    request_id: str
    when: str
    """UTC, ISO 8601."""
    route: str
    model: str
    """``NAME/3``, or the name alone where the version is none of the registry's."""
    is_registered: bool
    key: str
    label: str
    confidence: float
    text: str | None
    """None where the log doesn't keep it."""
    row_id: str
    """``row-…`` of its text; empty where the log doesn't keep that."""
    feedback: tuple[Feedback, ...] = ()


class AnswerTrace(Facts):
    """Where an answer comes from."""

    asked: str
    answer: ServedAnswer
    version: VersionTrace | None
    """None where its model isn't in the registry."""
    row: RowTrace | None
    """What became of the same text in this project; None where nothing on this disk holds it."""
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return what ``tunewright trace --json`` prints."""
        return self.model_dump(mode="json")


def trace_answer(project: Project, prediction_id: str, listing: Listing | None = None) -> AnswerTrace:
    """Say which version gave an answer, what that version learned from, and whether it had seen the text.

    Args:
        project: The project whose server answered.
        prediction_id: The id of one text's answer, or of a request with one text.
        listing: Rows of the version to list.

    Raises:
        InputError: When the request log doesn't have it.
    """
    answer = _answer(project.paths.state, prediction_id)
    notes: list[str] = []
    version = None
    if answer.is_registered:
        try:
            version = trace_version(project, answer.model, listing)
        except InputError as error:
            notes.append(f"its model version can't be found any more ({error})")
    else:
        notes.append("its model is a converted copy that was served from a folder, and not in the registry")
    row = _row(project, answer)
    if row is None and answer.row_id:
        notes.append("no data version, selection, labelled batch or answer on this disk holds its text")
    return AnswerTrace(asked=prediction_id, answer=answer, version=version, row=row, notes=tuple(notes))


def _answer(state: Path, prediction_id: str) -> ServedAnswer:
    """Read an answer and what people said of it."""
    found = _found(state / REQUESTS, prediction_id)
    name = str(found["prediction_id"])
    said = read_feedback(state / FEEDBACK).rows
    is_registered = found["version"] is not None
    return ServedAnswer(
        prediction_id=name,
        request_id=found["request_id"],
        when=found["time"].isoformat(timespec="milliseconds"),
        route=found["route"],
        model=f"{found['model']}/{found['version']}" if is_registered else found["model"],
        is_registered=is_registered,
        key=found["key"],
        label=found["label"] or "",
        confidence=round(found["confidence"] or 0.0, 6),
        text=found["text"],
        row_id=f"row-{found['digest']}" if found["digest"] else "",
        feedback=tuple(each for each in said if each.prediction_id == name),
    )


def _found(log: Path, prediction_id: str) -> dict[str, Any]:
    """Find an answer; the id of a request means its only text."""
    if ONE_TEXT.fullmatch(prediction_id):
        return find(log, prediction_id)
    first = _found_or_none(log, f"{prediction_id}-0")
    if first is not None and _found_or_none(log, f"{prediction_id}-1") is not None:
        raise InputError("is a request with several texts", place=prediction_id, mend="add -0, -1 …")
    return first if first is not None else find(log, prediction_id)


def _found_or_none(log: Path, prediction_id: str) -> dict[str, Any] | None:
    try:
        return find(log, prediction_id)
    except InputError:
        return None


def _row(project: Project, answer: ServedAnswer) -> RowTrace | None:
    """Follow the same text through the project."""
    if not answer.row_id:
        return None
    try:
        return trace_row(project, RowAsked(id=answer.row_id))
    except InputError:
        return None
