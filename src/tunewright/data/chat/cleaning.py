"""Clean the rows of language models: each turn by itself, and a row counts once for each step that changed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunewright.data.chat.saying import text_of, with_texts
from tunewright.data.chat.stored import cell_of, row_of
from tunewright.data.text_cleaning import trace_cleaning


def clean_cells(
    cells: Sequence[str], settings: Mapping[str, object], counts: dict[str, int]
) -> tuple[list[str], list[str]]:
    """Clean rows as they stand in the shards.

    Args:
        cells: The rows, each as JSON.
        settings: Settings of the cleaning steps.
        counts: Takes the rows that each step changed.

    Returns:
        What each row says now, and the rows.
    """
    texts, cleaned = [], []
    for cell in cells:
        changed: set[str] = set()

        def clean(text: str, changed: set[str] = changed) -> str:
            after, steps = trace_cleaning(text, settings)
            changed |= steps
            return after

        row = with_texts(row_of(cell), clean)
        for name in changed:
            counts[name] += 1
        texts.append(text_of(row))
        cleaned.append(cell_of(row) if changed else cell)
    return texts, cleaned
