"""The drawn graph: whole, well-formed, bounded, and safe with whatever a text holds."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from tunewright.evaluation.graph import CELLS, MOST, Edge, Graph, Node, draw
from tunewright.evaluation.lineage_page import Listed, render_lineage

SVG = "{http://www.w3.org/2000/svg}"


def graph(nodes, edges=(), title="a graph"):
    return Graph(title=title, columns=("one", "two", "three"), nodes=tuple(nodes), edges=tuple(edges))


def boxes(svg):
    return [group.find(f"{SVG}title").text for group in ET.fromstring(svg).iter(f"{SVG}g")]


def test_boxes_stand_in_columns_from_left_to_right_and_arrows_join_them():
    nodes = [Node(id="a", column=0, title="source"), Node(id="b", column=2, title="run", lines=("train",))]
    root = ET.fromstring(draw(graph(nodes, [Edge(start="a", end="b"), Edge(start="a", end="lost")])))
    places = [float(box.get("x")) for box in root.iter(f"{SVG}rect")]
    assert places == sorted(places)
    assert len(set(places)) == 2
    assert len(list(root.iter(f"{SVG}path"))) == 1, "an arrow to nowhere isn't drawn"
    words = [each.text for each in root.iter(f"{SVG}text")]
    assert "two" not in words, "an empty column takes no room"
    assert root.get("aria-label") == "a graph"


def test_a_full_column_keeps_its_newest_boxes_and_counts_the_rest():
    nodes = [
        Node(id="a", column=0, title="source"),
        *(Node(id=f"{n}", column=1, title=f"run {n}") for n in range(40)),
    ]
    svg = draw(graph(nodes, [Edge(start="a", end=f"{n}") for n in range(40)]))
    shown = boxes(svg)
    assert len(shown) == 1 + MOST
    assert f"{40 - MOST + 1} earlier" in shown
    assert shown[-1] == "run 39"
    assert svg.count("<path") == MOST


def test_colours_are_those_of_the_page():
    svg = draw(
        graph(
            [Node(id=kind, column=0, title=kind, kind=kind) for kind in ("plain", "strong", "warn", "faint")]
        )
    )
    assert set(re.findall(r"(?:fill|stroke):([^;\"]+)", svg)) <= {
        "none", "var(--card)", "var(--ink)", "var(--soft)", "var(--line)", "var(--one)", "var(--two)",
    }  # fmt: skip


readable = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co")), max_size=60)


@given(readable, readable)
def test_any_text_gives_a_graph_that_can_be_parsed(title, line):
    root = ET.fromstring(draw(graph([Node(id="a", column=0, title=title, lines=(line,))], title=title)))
    assert all(len(each.text or "") <= CELLS for each in root.iter(f"{SVG}text"))


def test_the_page_stands_alone_and_escapes():
    nasty = "<script>alert(1)</script>"
    page = render_lineage(
        graph([Node(id="a", column=0, title=nasty)], title=nasty),
        [("text", nasty), ("nothing", "")],
        [Listed("Rows", ("text",), [(nasty,)]), Listed("Nobody", ("x",), [])],
    )
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=", page)
    assert "Nobody" not in page
    assert "nothing" not in page
