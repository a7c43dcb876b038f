"""Draw where a version comes from and what came of it: a graph from source to answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tunewright.evaluation.graph import Edge, Graph, Node

if TYPE_CHECKING:
    from tunewright.pipeline.tracing.facts import DataFacts, ModelFacts, RunFacts, VersionTrace

SOURCE, DATA, RUN, MODEL, AFTER = range(5)
COLUMNS = ("source", "data version and base", "run", "model version", "what came of it")
SHORT = 10
"""Characters of a commit or an id that a box shows."""
SAW = {"train": "learned from it", "validation": "was steered by it", "test": "was tested on it"}
"""What a run did with a row of a split."""


def version_graph(trace: VersionTrace) -> Graph:
    """Draw where a version comes from, and what came of it."""
    config = (trace.model or {}).get("config") or {}
    nodes, edges = origin(trace.data, trace.runs, str(config.get("model", {}).get("name", "")))
    for model in trace.models:
        found, joined = model_boxes(model)
        nodes, edges = nodes + found, edges + joined
    for folder in trace.answers:
        name = PurePosixPath(folder.folder).name
        nodes.append(Node(id=folder.folder, column=AFTER, title=name, lines=(f"{folder.rows:,} answers",)))
        edges.append(Edge(start=folder.model, end=folder.folder))
    return graph_of(f"Where {trace.asked} comes from", nodes, edges)


def origin(data: DataFacts | None, runs: Sequence[RunFacts], base: str) -> tuple[list[Node], list[Edge]]:
    """Draw sources, data version and runs.

    Args:
        data: The data that the runs learned from.
        runs: The runs.
        base: Name of the base model; empty when it isn't to be drawn.
    """
    nodes = [run_box(run) for run in runs]
    edges = []
    if data is not None:
        nodes += [
            _source(data),
            *(_batch(name, splits) for name, splits in data.batches.items()),
            _data(data),
        ]
        edges += [Edge(start=node.id, end=data.digest) for node in nodes if node.column == SOURCE]
        edges += [Edge(start=data.digest, end=run.run_id) for run in runs]
    if base:
        nodes.append(Node(id="base", column=DATA, title=PurePosixPath(base).name, lines=("base model",)))
        edges += [Edge(start="base", end=run.run_id) for run in runs]
    return nodes, edges


def candidate_graph(data: DataFacts, run: RunFacts, *, base: str, uri: str) -> Graph:
    """Draw where a model comes from that isn't registered yet."""
    nodes, edges = origin(data, (run,), base)
    nodes.append(
        Node(
            id=uri,
            column=MODEL,
            title="the tuned model",
            lines=(uri.removeprefix("models:/"),),
            kind="strong",
        )
    )
    return graph_of("Where this model comes from", nodes, [*edges, Edge(start=run.run_id, end=uri)])


def graph_of(title: str, nodes: Sequence[Node], edges: Sequence[Edge]) -> Graph:
    """Put boxes and arrows together."""
    return Graph(title=title, columns=COLUMNS, nodes=tuple(nodes), edges=tuple(edges))


def run_box(run: RunFacts) -> Node:
    """Draw a run."""
    saw = tuple(SAW[split] for split in run.splits)
    status = () if run.status == "FINISHED" else (run.status.lower(),)
    when = day_and_time(run.started)
    return Node(id=run.run_id, column=RUN, title=run.step, lines=(*saw, run.run_id[:SHORT], when, *status))


def model_boxes(model: ModelFacts) -> tuple[list[Node], list[Edge]]:
    """Draw a model version and its aliases."""
    reference = model.reference
    nodes = [Node(id=reference, column=MODEL, title=reference)]
    edges = [Edge(start=model.run_id, end=reference)]
    for alias in model.aliases:
        name = f"{model.name}@{alias}"
        nodes.append(Node(id=name, column=AFTER, title=alias, lines=(name,), kind="strong"))
        edges.append(Edge(start=reference, end=name, kind="strong"))
    return nodes, edges


def day_and_time(when: str) -> str:
    """Shorten an ISO 8601 time to the minute."""
    return when[:16].replace("T", " ")


def _source(data: DataFacts) -> Node:
    name = PurePosixPath(data.source).name or data.source or "source"
    return Node(id="source", column=SOURCE, title=name)


def _batch(name: str, splits: dict[str, int]) -> Node:
    lines = ("labelled batch", f"{sum(splits.values()):,} rows")
    return Node(id=f"batch {name}", column=SOURCE, title=name, lines=lines)


def _data(data: DataFacts) -> Node:
    rows = f"{sum(data.splits.values()):,} rows" if data.splits else ""
    lines = (f"data {data.digest[:12]}", rows, day_and_time(data.when))
    title = data.commit[:SHORT] if data.commit else "not committed"
    return Node(id=data.digest, column=DATA, title=title, lines=tuple(filter(None, lines)))
