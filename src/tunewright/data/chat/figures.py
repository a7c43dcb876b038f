"""What the rows of language models are like: turns, system prompts, tools."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from tunewright.data.chat.saying import messages_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.data.chat.rows import ChatRow

SPOKEN = frozenset({"user", "assistant", "tool"})
"""Roles that take turns; a system prompt is none."""


class Shapes:
    """Collects a few numbers of each row while the rows stream by."""

    def __init__(self) -> None:
        self._turns = array("q")
        self._system = array("b")
        self._tools = array("b")

    def add(self, row: ChatRow) -> None:
        """Look at one row."""
        self._turns.append(turns_of(row))
        self._system.append(has_system(row))
        self._tools.append(has_tools(row))

    def figures(self, good: npt.NDArray[np.bool_]) -> dict[str, float]:
        """Return the figures of the rows of a mask, shape (rows that were added,); nothing where none has turns."""
        import numpy as np

        turns = np.array(self._turns, np.int64)[good]
        if not turns.any():
            return {}
        return {
            "mean_turns": round(float(turns.mean()), 2),
            "max_turns": float(turns.max()),
            "with_system_share": round(float(np.array(self._system)[good].mean()), 4),
            "with_tools_share": round(float(np.array(self._tools)[good].mean()), 4),
        }


def turns_of(row: ChatRow) -> int:
    """Return how many turns a row has, of both its answers the longer; the system prompt is none."""
    answer = max(len(row.chosen), len(row.rejected))
    return sum(message.role in SPOKEN for message in row.messages) + answer


def has_tools(row: ChatRow) -> bool:
    """Tell whether a row describes tools, or calls one."""
    return bool(row.tools) or any(each.tool_calls for each in messages_of(row))


def has_system(row: ChatRow) -> bool:
    """Tell whether a row begins with a system prompt."""
    return bool(row.messages) and row.messages[0].role == "system"
