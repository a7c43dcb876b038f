"""A page that shows a trace: the graph, what it is about, and every list behind the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.evaluation.graph import draw
from tunewright.support.pages import open_template

if TYPE_CHECKING:
    from tunewright.evaluation.graph import Graph


@dataclass(frozen=True, slots=True)
class Listed:
    """A titled table; its cells are shown as they are."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


def render_lineage(graph: Graph, facts: Sequence[tuple[str, str]], lists: Sequence[Listed]) -> str:
    """Return the page; it needs no network and no script.

    Args:
        graph: The picture; its title becomes the page's.
        facts: What the trace is about, as pairs of a name and a value.
        lists: The tables; empty ones are left out.
    """
    from markupsafe import Markup

    template = open_template("tunewright.evaluation", "lineage.html")
    return template.render(
        title=graph.title,
        graph=Markup(draw(graph)),  # noqa: S704 - draw escapes texts
        facts=[(name, value) for name, value in facts if value],
        lists=[each for each in lists if each.rows],
    )
