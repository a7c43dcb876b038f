"""Single rows for people to read: what was asked, what each model wrote, and where that leaves the reference."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from tunewright.data.dataset import Facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from tunewright.evaluation.language.answers import Answer
    from tunewright.evaluation.language.figures import MetricName, Scored

LONGEST = 3_000
"""Characters of a text that are shown."""
MOST_WORDS = 600
"""Of a text that is compared word by word: bounds the time, which grows with the square."""
PIECE = re.compile(r"\S+|\s+")


class Piece(Facts):
    """Part of a text."""

    text: str
    differs: bool
    """Whether it has no counterpart in the text that it is held against."""


class Shown(Facts):
    """A text and what differs in it."""

    name: str
    pieces: tuple[Piece, ...]
    score: float | None
    """Its figure; None of a reference."""
    cut: bool = False
    """Whether the model was stopped before its end."""


class Example(Facts):
    """One row."""

    row: int
    source: str
    prompt: str
    answers: tuple[Shown, ...]
    """The rival's where there is one, then the subject's; held against the reference."""
    reference: Shown
    """Held against the subject's answer."""
    rejected: str | None = None
    """Of a preference: the answer that isn't wanted."""
    change: float | None
    """The subject's figure less the rival's."""


class Examples(Facts):
    """Rows worth reading."""

    metric: str
    """The figure that they are chosen by."""
    worst: tuple[Example, ...]
    """Where the subject is worst, the worst first."""
    lost: tuple[Example, ...]
    """Where it is worse than the rival, the largest loss first."""
    gained: tuple[Example, ...]
    """Where it is better, the largest gain first."""


def choose(subject: Scored, rival: Scored | None, *, metric: MetricName, sign: int, count: int) -> Examples:
    """Choose rows to show.

    Equal rows are ordered by token F1, then by file and number; answers that equal the reference are no mistakes.

    Args:
        subject: The model that the report is about.
        rival: The one that it is held against, on the same rows in the same order.
        metric: What rows are ordered by.
        sign: 1 where more of it is better, else -1.
        count: Rows of each kind, at most.
    """
    import numpy as np

    scores, fallback = sign * subject.rows(metric), subject.rows("token_f1")
    rows = subject.answers.answers
    asked = [at for at in range(len(rows)) if rows[at].output is not None and not np.isnan(scores[at])]

    def examples(positions: list[int]) -> tuple[Example, ...]:
        return tuple(_example(subject, rival, at, metric) for at in positions[:count])

    def ranked(positions: list[int], *keys: npt.NDArray[np.float64]) -> list[int]:
        return sorted(positions, key=lambda at: (*(key[at] for key in keys), rows[at].key))

    wrong = [at for at in asked if (rows[at].output or "").split() != rows[at].reference.split()]
    worst = ranked(wrong, scores, fallback)
    if rival is None:
        return Examples(metric=metric, worst=examples(worst), lost=(), gained=())
    gain, second = scores - sign * rival.rows(metric), fallback - rival.rows("token_f1")
    lost = ranked([at for at in asked if gain[at] < 0], gain, second)
    gained = ranked([at for at in asked if gain[at] > 0], -gain, -second)
    return Examples(metric=metric, worst=examples(worst), lost=examples(lost), gained=examples(gained))


def marked(text: str, other: str) -> tuple[Piece, ...]:
    """Cut a text where it begins or ceases to differ, word by word, from another.

    The pieces together are the text, or its first ``LONGEST`` characters and an ellipsis.
    """
    text, other = _short(text), _short(other)
    words, others = PIECE.findall(text), PIECE.findall(other)
    if max(len(words), len(others)) > 2 * MOST_WORDS:
        return (Piece(text=text, differs=False),)
    matcher = SequenceMatcher(None, _spaceless(words), _spaceless(others), autojunk=False)
    pieces = [
        Piece(text="".join(words[start:end]), differs=kind != "equal")
        for kind, start, end, _, _ in matcher.get_opcodes()
        if end > start
    ]
    return tuple(pieces)


def _spaceless(words: Sequence[str]) -> list[str]:
    """Make all white space the same, so that line breaks are no differences."""
    return [" " if word.isspace() else word for word in words]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _example(subject: Scored, rival: Scored | None, at: int, metric: MetricName) -> Example:
    """Put one row's texts side by side."""
    own = subject.answers.answers[at]
    models = [subject] if rival is None else [rival, subject]
    shown = [_shown(model, model.answers.answers[at], model.rows(metric)[at]) for model in models]
    scores = [one.score for one in shown if one.score is not None]
    return Example(
        row=own.row,
        source=own.source,
        prompt=_short(own.prompt),
        answers=tuple(shown),
        reference=Shown(name="reference", pieces=marked(own.reference, own.output or ""), score=None),
        rejected=None if own.rejected is None else _short(own.rejected),
        change=scores[1] - scores[0] if len(scores) > 1 else None,
    )


def _shown(model: Scored, one: Answer, score: float) -> Shown:
    return Shown(
        name=model.answers.name,
        pieces=marked(one.output or "", one.reference),
        score=float(score),
        cut=not one.finished,
    )
