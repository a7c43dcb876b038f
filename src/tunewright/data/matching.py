"""Find the rows that say what a text says: the very same, the same after cleaning, or the same words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunewright.data.normal_form import key_form
from tunewright.data.text_cleaning import clean_text
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

Match = Literal["exact", "cleaned", "same_words"]
"""``exact``: the text as it was asked for; ``cleaned``: what the project's cleaning makes of it; ``same_words``: equal
in the form that splits keep together (``normal_form.key_form``)."""
MEND = "`tunewright data pull` fetches data that was pushed"
PREFIX = 24
"""Characters of a normal form that sort rows out before each is looked at on its own."""
BOUNDARY = 4
"""Characters at the end of a text cut short that the rest could still have changed by joining them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A text that is looked for."""

    text: str
    cleaned: str

    @classmethod
    def of(cls, text: str, cleaning: Mapping[str, Any]) -> Wanted:
        """Look for a text, and for what cleaning makes of it.

        Args:
            text: As it was written.
            cleaning: Settings of the cleaning steps.

        Raises:
            InputError: When there is nothing in it.
        """
        if not text.strip():
            raise InputError("is empty", place="the text", mend="give the text of a row")
        return cls(text, clean_text(text, cleaning) or text)

    @property
    def forms(self) -> frozenset[str]:
        """The normal forms that count."""
        return frozenset((key_form(self.text), key_form(self.cleaned)))

    def match(self, text: str | None) -> Match | None:
        """Say in which way a row's text is the one that is looked for; ``None`` when it isn't."""
        if text is None:
            return None
        if text == self.text:
            return "exact"
        if text == self.cleaned:
            return "cleaned"
        return "same_words" if key_form(text) in self.forms else None

    def may_begin(self, start: str) -> bool:
        """Tell whether the text may be one of which only the start is known."""
        known = key_form(start)[:-BOUNDARY]
        if not any(map(str.isalnum, known)):  # a text without letters keeps a form of its own
            return True
        return any(form.startswith(known) for form in self.forms)

    def positions(self, texts: pa.Array | pa.ChunkedArray) -> list[int]:
        """Return where the text stands in a column, in ascending order."""
        import pyarrow.compute as pc

        likely = pc.invert(pc.string_is_ascii(texts))
        for form in self.forms:
            if form.isascii():  # the form of an ASCII text is ASCII, so other forms need no look at those
                likely = pc.or_(likely, pc.match_substring_regex(texts, _pattern(form)))
        places = pc.indices_nonzero(pc.fill_null(likely, False))
        found = zip(places.to_pylist(), texts.take(places).to_pylist(), strict=True)
        return [at for at, text in found if self.match(text)]


def find_rows(shard: Path, wanted: Wanted, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the rows of a parquet file that hold a text.

    Row group by row group the texts alone are read; the other columns only where one is found.

    Args:
        shard: The file; it has the column ``text``.
        wanted: What to look for.
        columns: What to return of each row.

    Raises:
        InputError: When the file is damaged or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = []
    try:
        with pq.ParquetFile(shard) as file:
            for group in range(file.num_row_groups):
                texts = file.read_row_group(group, columns=["text"]).column("text")
                if places := wanted.positions(texts):
                    rows = file.read_row_group(group, columns=[*columns])
                    found += rows.take(places).to_pylist()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _unreadable(shard, error) from error
    return found


def rows_numbered(shard: Path, numbers: list[int], columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the rows of a parquet file with some row numbers; row groups without them aren't read.

    Raises:
        InputError: When the file is damaged or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(shard, columns=[*columns], filters=[("row", "in", numbers)], partitioning=None)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _unreadable(shard, error) from error
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _unreadable(path: Path, error: BaseException) -> InputError:
    return InputError(f"can't be read ({str(error).splitlines()[0]})", place=str(path), mend=MEND)


def _pattern(form: str) -> str:
    """Return an expression that every ASCII text with this normal form begins with."""
    letters = [re.escape(character) for character in form[:PREFIX] if character.isalnum()]
    gap = "[^0-9a-z]*"
    return f"(?i)^{gap}{gap.join(letters)}" if letters else f"(?i)^{gap}$"
