"""Cells that a spreadsheet must not run as formulas, changed so that the change can be undone.

A cell that begins with one of a few signs is a formula to Excel, LibreOffice and Google Sheets, also when it was read
from CSV; the Open Worldwide Application Security Project calls what can be done with that "CSV injection" and
recommends an apostrophe before it.
"""

from __future__ import annotations

MARK = "'"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Signs that start a formula, white space that is passed over before one, and the wide forms of the signs."""


def escaped(cell: str) -> str:
    """Put an apostrophe before a cell that could be a formula, and before one that begins with an apostrophe."""
    return MARK + cell if cell.startswith((*FORMULA_STARTS, MARK)) else cell


def unescaped(cell: str) -> str:
    """Take back what ``escaped`` did; other cells stay as they are."""
    rest = cell.removeprefix(MARK)
    return rest if rest.startswith((*FORMULA_STARTS, MARK)) else cell
