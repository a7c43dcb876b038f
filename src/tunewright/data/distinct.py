"""How many different texts a source has, counted without keeping the texts."""

from __future__ import annotations

from typing import Any

BATCH = 1 << 20
"""Digests that wait unsorted, at the least."""


class Distinct:
    """Counts distinct 64-bit digests in 8 bytes each."""

    def __init__(self) -> None:
        self._known: Any = None
        self._waiting: list[int] = []

    def add(self, digest: str) -> None:
        """Add the first 16 hex digits of a digest."""
        self._waiting.append(int(digest, 16))
        known = 0 if self._known is None else len(self._known)
        if len(self._waiting) >= max(BATCH, known // 2):
            self._merge()

    def count(self) -> int:
        """Return how many different ones were added."""
        self._merge()
        return len(self._known)

    def _merge(self) -> None:
        """Sort what waits into what is known."""
        import numpy as np

        fresh = np.array(self._waiting, dtype=np.uint64)
        self._known = np.unique(fresh if self._known is None else np.concatenate([self._known, fresh]))
        self._waiting = []
