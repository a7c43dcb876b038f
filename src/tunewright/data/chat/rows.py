"""The one internal row: whatever format a source has, its rows become these.

Stored, they have the columns that TRL documents for its trainers (``messages``; ``prompt`` and ``completion``;
``prompt``, ``chosen`` and ``rejected``; ``prompt``, ``completion`` and ``label``; ``text``), and so open there too.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["system", "user", "assistant", "tool"]
Kind = Literal["conversation", "completion", "text", "preference", "rated"]


class Frozen(BaseModel):
    """A value that can't be changed and refuses fields that it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolCall(Frozen):
    """A function that the assistant asks for."""

    name: str = Field(min_length=1)
    arguments: dict[str, Any] = {}
    id: str | None = None


class Message(Frozen):
    """One turn."""

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    """Of the assistant alone."""
    name: str | None = None
    """Which tool answers, or which of several users speaks."""
    tool_call_id: str | None = None
    """Which call a tool answers."""
    trained: bool = True
    """Whether an assistant's turn may carry loss; other roles never do."""


class ChatRow(Frozen):
    """One row to learn from; which fields it has depends on ``kind``.

    ================ ===============================================================
    kind             fields
    ================ ===============================================================
    ``conversation`` ``messages``
    ``completion``   ``prompt`` and ``completion`` as text, outside any template
    ``text``         ``text``, for continued pre-training
    ``preference``   ``messages`` (the shared prompt, perhaps empty), ``chosen``, ``rejected``
    ``rated``        ``messages`` (the prompt), ``chosen`` (the answer), ``good``
    ================ ===============================================================
    """

    kind: Kind
    row: int = 0
    """Its number in the source, counted from 1; 0 when it isn't from one."""
    source: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    """The functions that the assistant may ask for, each ``{"type": "function", "function": {"name": …, …}}``."""
    prompt: str = ""
    completion: str = ""
    text: str = ""
    chosen: tuple[Message, ...] = ()
    rejected: tuple[Message, ...] = ()
    good: bool | None = None
