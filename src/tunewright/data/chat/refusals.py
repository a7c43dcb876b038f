"""Why a row is refused: a code that can be counted, and a sentence that names the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Reason = Literal[
    # what a row is made of
    "not_an_object",
    "missing_field",
    "wrong_type",
    "not_json",
    "unknown_field",
    "empty_content",
    "unsupported_content",
    "undecodable",
    "not_finite",
    "nested_too_deeply",
    # the turns of a conversation
    "unknown_role",
    "no_assistant",
    "ends_without_answer",
    "starts_with_answer",
    "system_not_first",
    "repeated_role",
    "bad_weight",
    "nothing_trained",
    # tools
    "call_by_other_role",
    "tool_without_call",
    "unknown_call_id",
    "unknown_tool",
    "arguments_not_object",
    # answers to be compared
    "same_answers",
    "no_shared_prompt",
    "no_answer",
    # what a target format has no place for
    "no_turns",
    "not_plain_text",
    "not_a_preference",
    "not_rated",
    "no_place_for_system",
    "loses_tools",
    "loses_system",
    "loses_turns",
    "loses_weight",
    "loses_names",
    "loses_answer",
    "loses_label",
]


class RowError(Exception):
    """A row that can't be taken; it is caught where rows are read and becomes a ``Refused``.

    Args:
        reason: The code.
        detail: What was found and what is expected, naming the field.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that was refused, and why."""

    reason: str
    """A ``Reason``, or what a reader of files says of a row that can't be read (``malformed_json`` …)."""
    detail: str
