"""What people said of answers: a label, a rating or a better answer for a prediction id, one JSON line each."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from tunewright.data.dataset import Facts
from tunewright.support.errors import InputError, nearest
from tunewright.support.locks import locked

FILE = Path("monitoring/feedback.jsonl")
"""Below the project's local state."""
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]


class Feedback(Facts):
    """What somebody said of one answer."""

    prediction_id: str = Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$")
    label: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)] | None = (
        None
    )
    """What the text really is."""
    rating: Literal["good", "bad"] | None = None
    answer: Text | None = None
    """What a language model should have written."""
    comment: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2_000)] | None = None
    key: str = ""
    """Name of the API key that it came with."""
    time: datetime = Field(default_factory=lambda: datetime.now(timezone.utc))

    @model_validator(mode="after")
    def _says_something(self) -> Feedback:
        if self.label is None and self.rating is None and self.answer is None:
            raise ValueError("give a label, a rating or an answer")
        return self


@dataclass(frozen=True, slots=True)
class GivenFeedback:
    """What a file of feedback holds."""

    rows: tuple[Feedback, ...]
    """In the order in which it was given; a later one on the same prediction doesn't replace an earlier one."""
    unreadable: Mapping[int, str]
    """Lines that are none of ours, by number, each with what is wrong with it."""


def give_feedback(path: Path, feedback: Feedback, *, known_labels: Collection[str] | None = None) -> None:
    """Append feedback durably; a server calls it outside its event loop.

    Args:
        path: The file.
        feedback: What was said.
        known_labels: Labels of the model that answered; None: not checked.

    Raises:
        InputError: When the model has no such label.
        OSError: When it can't be written; the file is then as it was.
    """
    if known_labels is not None and feedback.label is not None and feedback.label not in known_labels:
        hint = (
            nearest(feedback.label, sorted(known_labels)) or f"known: {', '.join(sorted(known_labels)[:10])}"
        )
        raise InputError("is no label of this model", place=f"'{feedback.label}'", mend=hint)
    line = (feedback.model_dump_json(exclude_none=True) + "\n").encode()
    with locked(path.with_suffix(".lock"), what="the feedback", timeout_s=60):
        _append(path, line)


def read_feedback(path: Path) -> GivenFeedback:
    """Read a file of feedback; one that isn't there holds nothing."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    read = [_read(line) for line in lines]
    return GivenFeedback(
        tuple(each for each in read if isinstance(each, Feedback)),
        {number: each for number, each in enumerate(read, start=1) if isinstance(each, str)},
    )


def _read(line: bytes) -> Feedback | str:
    """Return the feedback of a line, or what is wrong with it."""
    try:
        return Feedback.model_validate_json(line)
    except ValidationError as error:
        return error.errors(include_input=False)[0]["msg"]


def _append(path: Path, line: bytes) -> None:
    """Append a whole line or nothing, after one that a killed process left unfinished, too."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        try:
            left = memoryview(line)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
