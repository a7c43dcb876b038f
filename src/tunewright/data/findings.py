"""What is flagged on rows that are kept: secrets, personal data, odd lengths and languages."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import TYPE_CHECKING

from tunewright.data.outliers import foreign, language
from tunewright.data.privacy import personal_data, secrets

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.config.data import Validation

SHOWN = 20
"""Row numbers that the summary names for each kind of flag."""


class Findings:
    """Collects row numbers by kind of flag while the rows stream by.

    Args:
        config: Which kinds to look for.
    """

    def __init__(self, config: Validation) -> None:
        self._config = config
        self._rows: dict[str, array[int]] = {}
        self._spoken: dict[str, array[int]] = {}

    @property
    def languages(self) -> Counter[str]:
        """Texts by language, where it is sure."""
        return Counter({code: len(rows) for code, rows in self._spoken.items()})

    def look(self, row: int, text: str) -> bool:
        """Look at one text; return whether it holds a secret."""
        found = secrets(text) if self._config.flag_secrets else []
        for kind in found:
            self._add(kind, row)
        if self._config.flag_personal_data:
            for kind in personal_data(text, self._config.phone_regions):
                self._add(kind, row)
        code = language(text)
        if code is not None:
            self._spoken.setdefault(code, array("q")).append(row)
        return bool(found)

    def add_mask(self, kind: str, rows: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> None:
        """Flag the rows of a mask."""
        for row in rows[mask].tolist():
            self._add(kind, row)

    def counts(self, kept: npt.NDArray[np.int64]) -> dict[str, int]:
        """Return kept rows by kind of flag."""
        return {kind: len(rows) for kind, rows in self._flagged(kept).items()}

    def first_rows(self, kept: npt.NDArray[np.int64]) -> dict[str, tuple[int, ...]]:
        """Return the first kept row numbers of each kind of flag."""
        return {kind: tuple(rows[:SHOWN]) for kind, rows in self._flagged(kept).items()}

    def _add(self, kind: str, row: int) -> None:
        """Note a row under a kind."""
        self._rows.setdefault(kind, array("q")).append(row)

    def _flagged(self, kept: npt.NDArray[np.int64]) -> dict[str, list[int]]:
        """Return the kept row numbers by kind, kinds sorted, none empty."""
        alive = set(kept.tolist())
        strange = sorted(row for code in foreign(self.languages) for row in self._spoken[code])
        every = {**{kind: list(rows) for kind, rows in self._rows.items()}, "language_outlier": strange}
        left = {kind: [row for row in rows if row in alive] for kind, rows in sorted(every.items())}
        return {kind: rows for kind, rows in left.items() if rows}
