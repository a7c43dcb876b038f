"""Errors as part of the interface: the fact, the place and the mend, rendered once at the edge."""

from __future__ import annotations


class TunewrightError(Exception):
    """Something failed and the user should read one clear line about it.

    Args:
        fact: What is wrong, as a short clause without a full stop.
        place: The file, row, field or option it is about.
        mend: What to do about it, as an imperative clause.
    """

    exit_code = 1

    def __init__(self, fact: str, *, place: str = "", mend: str = "") -> None:
        self.fact = fact
        self.place = place
        self.mend = mend
        super().__init__(str(self))

    def __str__(self) -> str:
        """One line: ``place: fact; mend``."""
        head = f"{self.place}: {self.fact}" if self.place else self.fact
        line = f"{head}; {self.mend}" if self.mend else head
        return " ".join(line.split())


class InputError(TunewrightError):
    """Bad usage or bad input: the user can mend it; exit code 2."""

    exit_code = 2


class MissingExtraError(InputError):
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an extra", mend=f"pip install 'tunewright[{extra}]'")


def nearest(word: str, known: list[str]) -> str:
    """Return ``did you mean 'x'?`` for the closest known word, or an empty string."""
    import difflib

    found = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean '{found[0]}'?" if found else ""
