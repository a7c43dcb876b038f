"""What a trace found of a served answer as titled lists, the same for the terminal and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.evaluation.graph import Edge, Graph, Node
from tunewright.evaluation.lineage_page import Listed, render_lineage
from tunewright.pipeline.tracing.drawing import AFTER, MODEL, day_and_time, graph_of, version_graph
from tunewright.pipeline.tracing.lists import row_lists, version_facts, version_lists

if TYPE_CHECKING:
    from tunewright.pipeline.tracing.answer import AnswerTrace

OF_THE_TEXT = ("Data versions", "Labelled batches")
"""Beginnings of the titles of a row's lists that are shown of the answer's text."""


def answer_page(trace: AnswerTrace) -> str:
    """Return the page of an answer."""
    return render_lineage(_graph(trace), answer_facts(trace), answer_lists(trace))


def answer_facts(trace: AnswerTrace) -> list[tuple[str, str]]:
    """Return what is to be said of an answer and its model version, as pairs of a name and a value."""
    answer = trace.answer
    text = answer.text if answer.text is not None else trace.row and trace.row.text
    return [
        ("answer", answer.prediction_id),
        ("label", f"{answer.label} ({answer.confidence:.3f})" if answer.label else ""),
        ("given", f"{day_and_time(answer.when)} at {answer.route}"),
        ("request", answer.request_id),
        ("key", answer.key),
        ("text", text or ""),
        ("id", answer.row_id),
        *(version_facts(trace.version) if trace.version else [("model", answer.model)]),
        *(("note", note) for note in trace.notes),
    ]


def answer_lists(trace: AnswerTrace) -> list[Listed]:
    """Return the lists of an answer: feedback, what became of its text, and those of its model version."""
    said = [
        (
            day_and_time(each.time.isoformat()),
            each.label or "",
            each.rating or "",
            each.answer or "",
            each.comment or "",
            each.key,
        )
        for each in trace.answer.feedback
    ]
    text = [each for each in row_lists(trace.row) if each.title.startswith(OF_THE_TEXT)] if trace.row else []
    return [
        Listed("Feedback", ("when", "label", "rating", "answer", "comment", "key"), said),
        *(Listed(f"{each.title} (its text)", each.headings, each.rows, each.note) for each in text),
        *(version_lists(trace.version) if trace.version else ()),
    ]


def _graph(trace: AnswerTrace) -> Graph:
    """Draw where an answer comes from: its version's picture, and itself."""
    answer = trace.answer
    drawn = version_graph(trace.version) if trace.version else graph_of("", [], [])
    nodes = list(drawn.nodes)
    if trace.version is None:
        nodes.append(Node(id=answer.model, column=MODEL, title=answer.model, lines=()))
    box = Node(
        id=answer.prediction_id,
        column=AFTER,
        title=answer.label or "an answer",
        lines=(answer.prediction_id,),
    )
    edge = Edge(start=answer.model, end=answer.prediction_id)
    return graph_of(f"Where {answer.prediction_id} comes from", [*nodes, box], [*drawn.edges, edge])
