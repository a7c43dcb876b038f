"""A small graph that runs from left to right, as SVG that takes its colours and fonts from the page around it."""

from __future__ import annotations

import unicodedata
from html import escape
from itertools import groupby
from typing import Literal

from tunewright.data.dataset import Facts

Kind = Literal["plain", "strong", "warn", "faint"]
STROKES: dict[Kind, str] = {"plain": "--line", "strong": "--one", "warn": "--two", "faint": "--line"}
WIDTH, GAP, SPACE, MARGIN = 172, 46, 14, 8
"""Of a box, between columns, between boxes, around all; pixels."""
LINE, PADDING, HEAD = 16, 10, 26
"""Height of a line of text, room in a box, room above the columns."""
FONT = 12
CELLS = 23
"""Characters of average width that fit in a box at this font size; wide ones count twice."""
MOST = 9
"""Boxes a column; further ones are counted in a last box."""


class Node(Facts):
    """One box."""

    id: str
    column: int
    """From 0, left to right."""
    title: str
    lines: tuple[str, ...] = ()
    kind: Kind = "plain"


class Edge(Facts):
    """An arrow between two boxes."""

    start: str
    end: str
    kind: Kind = "plain"


class Graph(Facts):
    """Boxes in columns, and the arrows between them; what comes last in a column is the newest."""

    title: str
    """What the picture says, for those who can't see it."""
    columns: tuple[str, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def draw(graph: Graph) -> str:
    """Return the graph as an SVG element; columns without boxes are left out, full ones keep their newest."""
    nodes, edges = _bounded(graph)
    used = sorted({node.column for node in nodes})
    heights = {at: _height([node for node in nodes if node.column == at]) for at in used}
    tallest = max(heights.values(), default=0)
    width = 2 * MARGIN + len(used) * WIDTH + max(0, len(used) - 1) * GAP
    height = 2 * MARGIN + HEAD + tallest
    places: dict[str, tuple[float, float, float]] = {}
    drawn = []
    for index, at in enumerate(used):
        x, y = MARGIN + index * (WIDTH + GAP), MARGIN + HEAD + (tallest - heights[at]) / 2
        drawn.append(_text(x, MARGIN + FONT, graph.columns[at], "--soft"))
        for node in (node for node in nodes if node.column == at):
            places[node.id] = (x, y, _box_height(node))
            drawn.append(_box(node, x, y))
            y += _box_height(node) + SPACE
    arrows = [_arrow(places[edge.start], places[edge.end], edge.kind) for edge in edges]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" width="{width}" '
        f'role="img" aria-label="{escape(graph.title)}" style="font-size:{FONT}px">'
        f"<title>{escape(graph.title)}</title>{''.join(arrows)}{''.join(drawn)}</svg>"
    )


def _bounded(graph: Graph) -> tuple[list[Node], list[Edge]]:
    """Keep the newest boxes of a column and let one stand for the rest; arrows to those go to it."""
    kept: list[Node] = []
    moved: dict[str, str] = {}
    ordered = sorted(graph.nodes, key=lambda node: node.column)
    for at, column in groupby(ordered, key=lambda node: node.column):
        nodes = list(column)
        hidden = nodes[: len(nodes) - MOST + 1] if len(nodes) > MOST else []
        if hidden:
            rest = Node(id=f"rest {at}", column=at, title=f"{len(hidden)} earlier", kind="faint")
            moved |= {node.id: rest.id for node in hidden}
            kept.append(rest)
        kept += nodes[len(hidden) :]
    known = {node.id for node in kept}
    ends = dict.fromkeys(
        (moved.get(edge.start, edge.start), moved.get(edge.end, edge.end), edge.kind) for edge in graph.edges
    )
    edges = [Edge(start=a, end=b, kind=kind) for a, b, kind in ends if a in known and b in known]
    return kept, edges


def _height(nodes: list[Node]) -> float:
    return sum(map(_box_height, nodes)) + SPACE * (len(nodes) - 1)


def _box_height(node: Node) -> float:
    return 2 * PADDING + LINE * (1 + len(node.lines)) - (LINE - FONT)


def _box(node: Node, x: float, y: float) -> str:
    dashes = ";stroke-dasharray:4 3" if node.kind == "faint" else ""
    thickness = 1 if node.kind in ("plain", "faint") else 2
    parts = [
        f"<g><title>{escape(chr(10).join((node.title, *node.lines)))}</title>",
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{_box_height(node):g}" rx="8" '
        f'style="fill:var(--card);stroke:var({STROKES[node.kind]});stroke-width:{thickness}{dashes}"/>',
    ]
    baseline = y + PADDING + FONT - 2
    for at, line in enumerate((node.title, *node.lines)):
        colour = "--soft" if at or node.kind == "faint" else "--ink"
        parts.append(_text(x + PADDING, baseline + at * LINE, line, colour, bold=not at))
    return "".join([*parts, "</g>"])


def _text(x: float, y: float, words: str, colour: str, *, bold: bool = False) -> str:
    weight = ";font-weight:600" if bold else ""
    return f'<text x="{x:g}" y="{y:g}" style="fill:var({colour}){weight}">{escape(_fitting(words))}</text>'


def _arrow(start: tuple[float, float, float], end: tuple[float, float, float], kind: Kind) -> str:
    """Draw a curve from the right side of a box to the left side of another, with a small head."""
    x, y = start[0] + WIDTH, start[1] + start[2] / 2
    to_x, to_y = end[0], end[1] + end[2] / 2
    bend = max(GAP / 2, (to_x - x) / 2)
    colour = "--soft" if kind in ("plain", "faint") else STROKES[kind]
    return (
        f'<path d="M{x:g} {y:g}C{x + bend:g} {y:g} {to_x - bend:g} {to_y:g} {to_x - 2:g} {to_y:g}'
        f'm-5 -4l5 4l-5 4" style="fill:none;stroke:var({colour});stroke-width:1.2;opacity:.75"/>'
    )


def _fitting(words: str) -> str:
    """Cut a line to what fits in a box; the whole of it stands in the box's title."""
    words = " ".join(words.split())
    width = 0
    kept: list[str] = []
    for character in words:
        width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if width > CELLS:
            return "".join(kept[:-1]).rstrip() + "…"
        kept.append(character)
    return words
