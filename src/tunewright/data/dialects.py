"""How lines are cut into columns: the delimiter that gives the most regular rows, and whether quotes wrap fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunewright.data.columns import names_a_column
from tunewright.data.delimited import Dialect, records
from tunewright.data.rows import Malformed, Tally
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.config.data import DataConfig
    from tunewright.data.streams import SourceFile

DELIMITERS = ("\t", ",", ";", "|")
ONE_COLUMN = "\udc1f"
"""Stands for the delimiter where a line is one text: half a character, which no decoded text holds."""
DELIMITER_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "pipe", ONE_COLUMN: "none"}
MIN_REGULAR_SHARE = 0.5
"""Share of lines that must have the commonest number of fields for a delimiter to be believed."""


def one_column(
    file: SourceFile, sample: Sequence[str], config: DataConfig, terminator: str
) -> Dialect | None:
    """Return how to read a file whose lines are texts without labels; nothing where it has columns.

    Commas in sentences can look as regular as columns do. So a delimiter other than a tab is believed where the
    file's name says CSV, or its first line names columns; and never where the first line is one name alone.
    """
    if config.delimiter is not None or config.format == "tsv":
        return None
    choices = [
        (_regularity(sample, _with_quoting(sample, sign, config, terminator)), sign) for sign in DELIMITERS
    ]
    share, sign = max(choices, key=lambda choice: choice[0])
    first = next((line for line in sample if line.strip()), "")
    cells = [cell.strip().strip('"') for cell in first.split(sign)]
    named = "csv" in {file.format, config.format} or file.format == "tsv"
    columns = share >= MIN_REGULAR_SHARE and (named or sign == "\t" or any(map(names_a_column, cells)))
    if columns and not (len(cells) == 1 and names_a_column(cells[0])):
        return None
    if named or config.quoting != "auto":
        return _with_quoting(sample, ONE_COLUMN, config, terminator)
    return Dialect(ONE_COLUMN, False, terminator)


def choose_dialect(file: SourceFile, sample: Sequence[str], config: DataConfig, terminator: str) -> Dialect:
    """Choose the delimiter that gives the most regular rows, then whether quotes wrap fields.

    Raises:
        InputError: When the one that is told is no single character, or none gives columns.
    """
    if config.delimiter is not None:
        if len(config.delimiter) != 1 or config.delimiter in '"\r\n':
            raise InputError(
                "is not one character",
                place="data.delimiter",
                mend="give one character, such as ';' or '\\t'",
            )
        candidates: tuple[str, ...] = (config.delimiter,)
    else:
        candidates = ("\t",) if config.format == "tsv" else DELIMITERS
    choices = [
        (_regularity(sample, dialect), dialect)
        for dialect in (_with_quoting(sample, sign, config, terminator) for sign in candidates)
    ]
    share, best = max(choices, key=lambda choice: choice[0])
    if config.delimiter is None and share < MIN_REGULAR_SHARE:
        raise InputError(
            "can't tell how its lines are cut into columns",
            place=file.place,
            mend="set data.delimiter and data.format; two columns at least are expected, a text and a label",
        )
    return best


def _with_quoting(sample: Sequence[str], delimiter: str, config: DataConfig, terminator: str) -> Dialect:
    """Decide whether quotes wrap fields, by weighing rows that need it against rows that it breaks."""
    quoted, plain = Dialect(delimiter, True, terminator), Dialect(delimiter, False, terminator)
    if config.quoting != "auto":
        return quoted if config.quoting == "minimal" else plain
    tally = Tally()
    broken = sum(isinstance(row, Malformed) for row in records(iter(sample), quoted, tally))
    needed = tally.counts.get("needed_quotes", 0) + tally.counts.get("line_breaks", 0)
    wrapped = sum(line.startswith('"') and line.rstrip().endswith('"') for line in sample)
    if max(needed, broken, wrapped) == 0:
        return plain if delimiter == "\t" else quoted
    regular = _regularity(sample, quoted) >= _regularity(sample, plain)
    return quoted if regular and max(needed, wrapped) > broken else plain


def _regularity(sample: Sequence[str], dialect: Dialect) -> float:
    """Return the share of lines that belong to rows of the commonest width, 0 where that is one field."""
    tally = Tally()
    widths = Counter(
        0 if isinstance(row, Malformed) else len(row) for row in records(iter(sample), dialect, tally)
    )
    width, rows = max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
    return rows / sum(widths.values()) if width > 1 else 0.0
