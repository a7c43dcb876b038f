"""Token ids to text as they come: no half character, nothing that a stop word may still take away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What decoding writes for bytes that aren't a whole character."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an answer's text."""

    text: str
    stopped: bool = False
    """Whether a stop word was found, before which the text ends."""


class TextStream:
    """Decodes one answer.

    What a token says can depend on its neighbours (a byte of a character, a blank that is left out at the beginning),
    so the tokens that came last before are decoded again with the new ones; those far before are not.

    Args:
        decode: Token ids to text, special tokens left out.
        stops: Words at the first of which the text ends; they aren't part of it.
        before: Token ids that stand before it, such as the prompt's last ones.
        strips: Whether blanks at both ends are left out, as in the answers that were evaluated.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        stops: Sequence[str] = (),
        *,
        before: Sequence[int] = (),
        strips: bool = False,
    ) -> None:
        self._decode = decode
        self._stops = tuple(stops)
        self._held = max(map(len, stops), default=1) - 1
        self._strips = strips
        self._is_empty = True
        """Whether nothing was said yet."""
        self._ids: list[int] = list(before)
        self._from = 0
        """The first token that is decoded again, for its neighbours' sake."""
        self._known = len(self._ids)
        """Tokens whose text is certain."""
        self._waiting = ""
        """Certain text that a stop word may begin in."""

    def add(self, ids: Sequence[int]) -> Part:
        """Take tokens; return the text that is certain now."""
        self._ids += ids
        return self._checked(self._decoded(is_last=False), is_last=False)

    def end(self) -> Part:
        """Return the rest."""
        return self._checked(self._decoded(is_last=True), is_last=True)

    def _decoded(self, *, is_last: bool) -> str:
        """Return the text of tokens that is certain by now."""
        if self._known == len(self._ids):
            return ""
        before = self._decode(self._ids[self._from : self._known])
        whole = self._decode(self._ids[self._from :])
        if whole.endswith(REPLACEMENT) and not is_last:
            return ""
        if not whole.startswith(before):  # the neighbours changed it: nothing is said twice
            before = whole[: len(before)]
        self._from, self._known = self._known, len(self._ids)
        return whole[len(before) :]

    def _checked(self, text: str, *, is_last: bool) -> Part:
        """Look for stop words, and hold back what may be the beginning of one."""
        self._waiting += text
        if self._strips and self._is_empty:
            self._waiting = self._waiting.lstrip()
        found = [at for stop in self._stops if (at := self._waiting.find(stop)) >= 0]
        if found:
            text, self._waiting = self._waiting[: min(found)], ""
            return Part(text.rstrip() if self._strips else text, stopped=True)
        held = 0 if is_last else self._beginnings()
        cut = len(self._waiting) - held
        if self._strips:
            cut = len(self._waiting[:cut].rstrip())
        text, self._waiting = self._waiting[:cut], self._waiting[cut:]
        self._is_empty = self._is_empty and not text
        return Part(text)

    def _beginnings(self) -> int:
        """Return how many characters at the end may begin a stop word."""
        longest = min(self._held, len(self._waiting))
        return next(
            (
                count
                for count in range(longest, 0, -1)
                if any(stop.startswith(self._waiting[-count:]) for stop in self._stops)
            ),
            0,
        )
