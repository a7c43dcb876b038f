"""Rows that stand apart by length or by language: flagged for a person to look at, never removed."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MODIFIED_Z = 3.5
"""Iglewicz and Hoaglin 1993: beyond it a value counts as an outlier."""
NORMAL_MAD = 0.6745
"""The median absolute deviation of a standard normal distribution."""

FACTOR = 3
"""A text within this factor of the median length is never an outlier, however alike the others are."""

LEAST_LETTERS = 40
"""Shorter texts don't show their language: on chat messages the identifier guesses."""
SURE = 0.9
"""Least probability of a language that counts. On 5,574 English text messages full of slang the surest
wrong language has 0.73; a German or French sentence of 40 letters has 0.99."""
OWN_SHARE = 0.05
"""A language with at least this share of the texts is one of the data set's own."""


def length_outliers(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Tell which texts are far shorter or longer than the rest.

    The modified z-score of the logarithm of the length, because lengths are skewed to the right.

    Args:
        lengths: Characters, shape (n,).

    Returns:
        A mask, shape (n,).
    """
    import numpy as np

    if not len(lengths):
        return np.zeros(0, dtype=bool)
    logs = np.log1p(lengths)
    distance = np.abs(logs - np.median(logs))
    bound = max(MODIFIED_Z * np.median(distance) / NORMAL_MAD, np.log(FACTOR))
    mask: npt.NDArray[np.bool_] = distance > bound
    return mask


def language(text: str) -> str | None:
    """Return the ISO 639 code of a text's language, or nothing when the text is too short or unclear."""
    if sum(character.isalpha() for character in text) < LEAST_LETTERS:
        return None
    code, probability = _identifier().classify(text)
    return str(code) if probability >= SURE else None


def foreign(languages: Counter[str]) -> frozenset[str]:
    """Return the languages that are not the data set's own."""
    total = languages.total()
    return frozenset(code for code, rows in languages.items() if rows < OWN_SHARE * total)


@cache
def _identifier() -> Any:  # noqa: ANN401
    """Load the identifier once, with probabilities (about a second of CPU)."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
