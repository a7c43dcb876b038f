"""How long an answer took, in measures by which two versions can be compared fairly."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of one answer.

    A whole answer of a language model takes as long as it is, so that a version that says more would seem slow. Its
    first token takes as long as its prompt is, and each further one about the same.
    """

    read: int
    """Tokens of the request."""
    answer_s: float
    """Seconds until the answer; of a language model, until its first token."""
    written: int = 0
    """Tokens behind the first one; 0 for a classifier."""
    token_s: float = 0.0
    """Seconds for each of them, on average."""
