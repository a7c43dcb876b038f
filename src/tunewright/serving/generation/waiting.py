"""Answers that wait for a slot: first come, first served for each caller, and turns shared between callers.

Pure logic: nothing is awaited.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from tunewright.serving.admission import Shares

if TYPE_CHECKING:
    from tunewright.serving.generation.writing import Writing


class WaitingLine:
    """Answers go in at any time; the next one is that of the caller who has had least."""

    def __init__(self) -> None:
        self._of: dict[str, deque[Writing]] = {}
        self._shares = Shares()
        self.tokens = 0
        """That wait."""

    def __bool__(self) -> bool:
        return bool(self._of)

    def add(self, writing: Writing) -> None:
        """Let an answer wait."""
        if writing.caller not in self._of:
            self._of[writing.caller] = deque()
            self._shares.enter(writing.caller)
        self._of[writing.caller].append(writing)
        self.tokens += writing.tokens

    def pop(self) -> Writing:
        """Take the next one out, and charge its caller."""
        caller = self._shares.least(self._of)
        writing = self._of[caller].popleft()
        self._shares.charge(caller, writing.tokens)
        self._left(writing)
        return writing

    def drop(self, writing: Writing) -> bool:
        """Forget one that waits; tell whether it did."""
        line = self._of.get(writing.caller)
        if line is None or writing not in line:
            return False
        line.remove(writing)
        self._left(writing)
        return True

    def _left(self, writing: Writing) -> None:
        self.tokens -= writing.tokens
        if not self._of[writing.caller]:
            del self._of[writing.caller]
            self._shares.leave(writing.caller)
