"""The page beside a selection: how sure the model was of the pool, of what was chosen, and of the control share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.evaluation.plots import selection_histogram
from tunewright.support.pages import open_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.data.selection import SelectedRow, SelectionManifest

SHOWN_ROWS = 20


def render_selection(manifest: SelectionManifest, rows: Sequence[SelectedRow]) -> str:
    """Return the page; it needs no network and no script."""
    from markupsafe import Markup

    template = open_template("tunewright.evaluation", "sampling.html")
    return template.render(
        manifest=manifest,
        rows=sorted(rows, key=lambda row: -row.score)[:SHOWN_ROWS],
        histogram=Markup(selection_histogram(manifest.histogram)),  # noqa: S704 - matplotlib escapes texts
    )
