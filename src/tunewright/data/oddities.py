"""What is odd about a source, counted while its rows stream by and said in plain sentences."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tunewright.data.text_cleaning import ENTITY, INVISIBLE, SEPARATORS

if TYPE_CHECKING:
    from tunewright.data.rows import Tally

STYLED = re.compile("[\U0001d400-\U0001d7ff\uff01-\uff5e\u24b6-\u24e9\U0001f130-\U0001f189]")
"""Mathematical, full-width and enclosed letters: plain words dressed up, often to pass a filter."""

SENTENCES = {
    "blank_lines": "{rows} blank lines were passed over",
    "surplus_delimiters": "{rows} rows end with surplus delimiters and nothing between them",
    "short_rows": "{rows} rows lack columns at their end",
    "irregular_quotes": "{rows} rows hold stray quotes that were read as they stand",
    "line_breaks": "{rows} rows hold line breaks inside quotes",
    "unknown_fields": "{rows} rows hold fields that the first rows don't have; those are not kept",
    "in_unnamed_columns": "{rows} rows hold something in columns without a name, as if their text had been cut "
    "at a delimiter",
    "padded_labels": "{rows} labels had white space around them",
    "missing_labels": "{rows} rows have no label",
    "empty_texts": "{rows} rows have no text",
    "cast_texts": "{rows} texts were numbers, booleans or dates",
    "html_entities": "{rows} texts hold HTML entities such as &amp;",
    "control_characters": "{rows} texts hold control or zero-width characters",
    "replacement_characters": "{rows} texts hold U+FFFD, what is left of characters lost before",
    "garbled": "{rows} texts are garbled, as UTF-8 that was read in another encoding and saved (Â£ for £)",
    "styled_letters": "{rows} texts are written in styled Unicode letters",
    "inner_carriage_returns": "{rows} texts hold carriage returns",
}
"""Kind of oddity to the sentence about it, in the order in which they are told."""


def survey(text: str, tally: Tally) -> None:
    """Count what is odd about one text."""
    if "&" in text and ENTITY.search(text):
        tally.add("html_entities")
    if not text.strip():
        tally.add("empty_texts")
    if "\r" in text:
        tally.add("inner_carriage_returns")
    if text.isascii() and text.isprintable():
        return
    if INVISIBLE.search(text) or SEPARATORS.search(text):
        tally.add("control_characters")
    if text.isascii():
        return
    if "\ufffd" in text:
        tally.add("replacement_characters")
    if STYLED.search(text):
        tally.add("styled_letters")
    if is_garbled(text):
        tally.add("garbled")


def is_garbled(text: str) -> bool:
    """Tell whether a text is UTF-8 that was taken for Windows-1252, and perhaps saved as Mac Roman after that.

    Ordinary text is hardly ever valid UTF-8 once it is encoded in either of these ways.
    """
    try:
        once = text.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return _is_utf8(once) or _is_utf8(once.decode("mac_roman").encode("cp1252", "replace"))


def notes_of(tally: Tally, *, rows: int, unique: int, labels: dict[str, int]) -> tuple[str, ...]:
    """Return one sentence for each oddity that was seen, with the row where it was first seen.

    Args:
        tally: What was counted.
        rows: Rows with a text.
        unique: Distinct texts among them.
        labels: Rows by label.
    """
    notes = [
        f"{sentence.format(rows=f'{tally.counts[kind]:,}')} (first: row {tally.first[kind]:,})"
        for kind, sentence in SENTENCES.items()
        if kind in tally.counts
    ]
    if rows > unique:
        notes.append(f"{rows - unique:,} rows repeat the text of an earlier row word for word")
    cases = [
        f"the labels {' and '.join(map(repr, spellings))} differ only in case"
        for spellings in _spellings(labels)
    ]
    return (*notes, *cases)


def _spellings(labels: dict[str, int]) -> list[list[str]]:
    """Return the groups of labels that differ only in case."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(label.casefold(), []).append(label)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def _is_utf8(data: bytes) -> bool:
    """Tell whether bytes are UTF-8 beyond ASCII."""
    if data.isascii():
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
