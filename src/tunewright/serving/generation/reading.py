"""An answer as its reader gets it: text, tokens with their likelihoods, and why it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tunewright.serving.generation.text import TextStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.engines.interface import TokenScore
    from tunewright.engines.language_side import LanguageSide
    from tunewright.serving.generation.writing import Writing

Reason = Literal["stop", "length"]
CONTEXT = 8
"""Tokens of the prompt that an answer is decoded behind: a blank at its beginning, or half a character, shows there."""


def stream_of(
    prompt_ids: Sequence[int], side: LanguageSide, stops: Sequence[str], *, strips: bool
) -> TextStream:
    """Return what decodes the answer to a prompt (see ``TextStream``)."""
    return TextStream(side.text, stops, before=prompt_ids[-CONTEXT:], strips=strips)


@dataclass(frozen=True, slots=True)
class Token:
    """One token with its likelihood."""

    text: str
    data: bytes
    """What it stands for; a part of a character, perhaps."""
    logprob: float
    """Natural logarithm of its probability."""
    others: tuple[Token, ...] = ()
    """The likeliest tokens at its place, where asked for."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What has come since the last look."""

    text: str
    tokens: tuple[Token, ...] = ()
    finish: Reason | None = None
    """Why it ended, with the last one."""


class Reader:
    """Reads one answer as it is written.

    Args:
        writing: The answer.
        side: Decodes.
        stops: Words before which it ends.
        strips: Whether blanks at both ends are left out.
    """

    def __init__(self, writing: Writing, side: LanguageSide, stops: Sequence[str], *, strips: bool) -> None:
        self._writing = writing
        self._side = side
        self._stream = stream_of(writing.prompt_ids, side, stops, strips=strips)
        self._read = 0
        self.text = ""
        """What it said so far."""
        self.finish: Reason | None = None
        """Why the answer ended; None while it goes on."""

    async def next(self) -> Delta:
        """Return what comes next, with everything that waits.

        Raises:
            ServingError: When the answer can't be written.
        """
        await self._writing.moved()
        writing, start = self._writing, self._read
        end = self._read = len(writing.ids)
        # The stop token ends the answer and is no part of it, even where it is an ordinary one.
        shown = writing.ids[start : end - (writing.finish == "stop")]
        parts = [self._stream.add(shown)]
        if writing.finish and not parts[0].stopped:
            parts.append(self._stream.end())
        if any(part.stopped for part in parts):
            self.finish = "stop"
        elif writing.finish:
            self.finish = "stop" if writing.finish == "stop" else "length"
        scores = writing.scores[start : start + len(shown)] if writing.scores else []
        tokens = tuple(self._token(each, score) for each, score in zip(shown, scores, strict=bool(scores)))
        text = "".join(part.text for part in parts)
        self.text += text
        return Delta(text, tokens, self.finish)

    async def all(self) -> Delta:
        """Return the whole answer when it is there.

        Raises:
            ServingError: When it can't be written.
        """
        parts = [await self.next()]
        while self.finish is None:
            parts.append(await self.next())
        return Delta(
            "".join(part.text for part in parts),
            tuple(token for part in parts for token in part.tokens),
            self.finish,
        )

    def _token(self, number: int, score: TokenScore) -> Token:
        others = tuple(self._plain(each, logprob) for each, logprob in score.alternatives)
        found = self._plain(number, score.logprob)
        return Token(found.text, found.data, found.logprob, others)

    def _plain(self, number: int, logprob: float) -> Token:
        data = self._side.token_bytes(number)
        text = data.decode("utf-8", "replace")
        return Token(text, data, logprob)
