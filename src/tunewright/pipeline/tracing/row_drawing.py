"""Draw the history of a row: its labels over time, who learned from them, what was answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tunewright.data.additions import PREFIX as BATCH
from tunewright.data.additions import is_addition
from tunewright.evaluation.graph import Edge, Graph, Node
from tunewright.pipeline.tracing.drawing import (
    AFTER,
    DATA,
    MODEL,
    SHORT,
    SOURCE,
    day_and_time,
    graph_of,
    model_boxes,
    run_box,
)
from tunewright.pipeline.tracing.spells import Moment, spells

if TYPE_CHECKING:
    from tunewright.pipeline.tracing.facts import Holding, RowTrace, SetAside


def row_graph(trace: RowTrace) -> Graph:
    """Draw a row; versions in which nothing changed for it share a box, oldest on top."""
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []
    box_of: dict[str, str] = {}
    labels = ""
    for spell in spells(trace):
        node = _spell(spell, labels)
        labels = spell[0].labels
        box_of = {
            each.digest: node.id for each in spell
        } | box_of  # a run learned when the data was first there
        for source in (*map(_source, spell[0].holdings), *map(_source, spell[0].set_aside)):
            nodes.setdefault(source.id, source)
            edges.append(Edge(start=source.id, end=node.id))
        nodes[node.id] = node
    for batch in trace.batches:
        lines = ("labelled batch", batch.label)
        nodes[BATCH + batch.batch] = Node(
            id=BATCH + batch.batch, column=SOURCE, title=batch.batch, lines=lines
        )
    for run in trace.runs:
        name = f"data {run.data_digest[:SHORT]}"
        lost = Node(id=run.data_digest, column=DATA, title=name, lines=("not read",), kind="faint")
        start = box_of.get(run.data_digest, lost.id)
        nodes.setdefault(start, lost)
        nodes[run.run_id] = run_box(run)
        edges.append(Edge(start=start, end=run.run_id))
    for model in trace.models:
        boxes, arrows = model_boxes(model)
        nodes |= {box.id: box for box in boxes}
        edges += arrows
    for start, box in _afterwards(trace):
        never = Node(id=start, column=MODEL, title=start, lines=("never learned from it",), kind="faint")
        nodes.setdefault(start, never)
        nodes[box.id] = box
        edges.append(Edge(start=start, end=box.id))
    return graph_of(f"The history of {trace.asked}", [*nodes.values()], edges)


def _spell(spell: tuple[Moment, ...], before: str) -> Node:
    """Draw a spell: its label and split or the reason against it, and since when."""
    first, last = spell[0], spell[-1]
    title = first.labels or "set aside"
    was = (f"was {before}",) if before and first.labels and before != first.labels else ()
    where = dict.fromkeys(each.split for each in first.holdings)
    reasons = dict.fromkeys(each.reason for each in first.set_aside)
    commit = first.commit[:SHORT] if first.commit else "not committed"
    since = commit if len(spell) == 1 else f"{commit}, {len(spell)} versions"
    lines = (*was, *where, *reasons, since, day_and_time(first.when))
    kind = "warn" if was or not first.labels else "strong" if last.is_current else "plain"
    key = f"{first.commit} {first.digest}"
    return Node(id=key, column=DATA, title=title, lines=tuple(filter(None, lines)), kind=kind)


def _source(row: Holding | SetAside) -> Node:
    """Draw the file, or the labelled batch, that a row stands in."""
    if is_addition(row.source):
        return Node(
            id=row.source, column=SOURCE, title=row.source.removeprefix(BATCH), lines=("labelled batch",)
        )
    name = PurePosixPath(row.source).name or row.source
    return Node(id=f"{row.source} {row.row}", column=SOURCE, title=name, lines=(f"row {row.row:,}",))


def _afterwards(trace: RowTrace) -> Iterator[tuple[str, Node]]:
    """Give each answer and selection with the model version that it comes from."""
    for answer in trace.answers:
        lines = (f"answer, {answer.confidence:.0%} sure", PurePosixPath(answer.folder).name)
        key = f"{answer.folder} {answer.source} {answer.row}"
        yield answer.model, Node(id=key, column=AFTER, title=answer.label, lines=lines)
    for chosen in trace.selections:
        lines = (chosen.strategy.replace("_", " "), PurePosixPath(chosen.folder).name)
        yield chosen.model, Node(id=chosen.folder, column=AFTER, title="asked to be labelled", lines=lines)
