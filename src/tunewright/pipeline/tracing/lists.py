"""What a trace found as titled lists, the same for the terminal and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.evaluation.lineage_page import Listed, render_lineage
from tunewright.pipeline.tracing.drawing import SAW, SHORT, day_and_time, version_graph
from tunewright.pipeline.tracing.row_drawing import row_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.pipeline.tracing.facts import ModelFacts, RowTrace, RunFacts, VersionTrace

HOW = {
    "exact": "the very text",
    "cleaned": "the text after cleaning",
    "same_words": "the same words",
}
"""How a row's text is the one that was asked for."""


def version_page(trace: VersionTrace) -> str:
    """Return the page of a version."""
    return render_lineage(version_graph(trace), version_facts(trace), version_lists(trace))


def row_page(trace: RowTrace) -> str:
    """Return the page of a row."""
    return render_lineage(row_graph(trace), row_facts(trace), row_lists(trace))


def version_facts(trace: VersionTrace) -> list[tuple[str, str]]:
    """Return what is to be said of a version, as pairs of a name and a value."""
    model, data = trace.model or {}, trace.data
    facts = []
    if model:
        dirty = " and uncommitted changes" if model["dirty"] else ""
        facts += [
            ("model", f"{model['model']}/{model['version']}"),
            ("aliases", ", ".join(model["aliases"])),
            ("address", model["uri"]),
            ("run", f"{model['run']['id']} ({model['run']['name']}, {model['run']['status']})"),
            ("code", f"commit {model['commit']}{dirty}" if model["commit"] else ""),
            ("certificate", model["certificate"] or ""),
            ("verdict", model["verdict"] or ""),
        ]
    if data is not None:
        facts += [
            ("data", f"{data.digest}"),
            (
                "committed",
                f"{data.commit} ({data.when})".removesuffix(" ()") if data.commit else "not committed",
            ),
            ("made by run", data.run_id),
            ("source", data.source),
            ("rows", _counts(data.splits)),
        ]
    return [*facts, *(("note", note) for note in trace.notes)]


def version_lists(trace: VersionTrace) -> list[Listed]:
    """Return the lists of a version."""
    batches = trace.data.batches if trace.data else {}
    counted = [(name, _counts(splits)) for name, splits in batches.items()]
    answers = [
        (each.model, f"{each.rows:,}", each.folder, day_and_time(each.created)) for each in trace.answers
    ]
    rows = [(str(each.row), each.source, each.split, each.label, each.text) for each in trace.rows]
    more = trace.rows_in_all - len(rows)
    return [
        Listed("Labelled batches in it", ("batch", "rows"), counted),
        Listed("Runs that learned from it", ("step", "run", "status", "started"), _runs(trace.runs)),
        Listed("Model versions", ("model", "aliases", "run"), _models(trace.models)),
        Listed("Answers that it gave", ("model", "rows", "folder", "when"), answers),
        Listed(
            "Rows",
            ("row", "source", "split", "label", "text"),
            rows,
            f"and {more:,} more (--limit)" if rows and more > 0 else "",
        ),
    ]


def row_facts(trace: RowTrace) -> list[tuple[str, str]]:
    """Return what is to be said of a row, as pairs of a name and a value."""
    unread = f"{len(trace.unread):,} data versions whose bytes are not on this disk: add --fetch"
    facts = [
        ("asked for", trace.asked),
        (
            "text",
            trace.text
            or ("withheld: it holds a credential" if trace.id else "none: it was set aside without one"),
        ),
        ("id", trace.id),
        ("not looked at", unread if trace.unread else ""),
    ]
    return [*facts, *(("note", note) for note in trace.notes)]


def row_lists(trace: RowTrace) -> list[Listed]:
    """Return the lists of a row."""
    data = [
        (_commit(each.commit), day_and_time(each.when), each.digest[:12], each.split, each.label,
         f"{each.source}, row {each.row:,}", HOW[each.match] + (" · present" if each.current else ""))
        for each in trace.data
    ]  # fmt: skip
    aside = [
        (_commit(each.commit), day_and_time(each.when), each.reason, each.detail, each.label or "",
         f"{each.source}, row {each.row:,}", HOW[each.match] if each.match else "by its number")
        for each in trace.quarantined
    ]  # fmt: skip
    selections = [
        (each.folder, each.strategy, f"{each.score:.3f}", each.suggested, each.model, HOW[each.match])
        for each in trace.selections
    ]
    batches = [
        (each.batch, each.label, ", ".join(each.annotators), each.selection, day_and_time(each.created),
         HOW[each.match])
        for each in trace.batches
    ]  # fmt: skip
    answers = [
        (each.model, each.label, f"{each.confidence:.3f}", each.truth or "", f"{each.source}, row {each.row:,}",
         each.folder, HOW[each.match])
        for each in trace.answers
    ]  # fmt: skip
    where, how = ("commit", "when"), "found as"
    return [
        Listed("Data versions that hold it", (*where, "data", "split", "label", "source", how), data),
        Listed(
            "Data versions that set it aside", (*where, "reason", "detail", "label", "source", how), aside
        ),
        Listed("Runs", ("step", "run", "status", "started", "with this row"), _runs(trace.runs, saw=True)),
        Listed(
            "Model versions", ("model", "aliases", "run", "with this row"), _models(trace.models, saw=True)
        ),
        Listed("Selections", ("folder", "strategy", "score", "suggested", "model", how), selections),
        Listed("Labelled batches", ("batch", "label", "annotators", "selection", "when", how), batches),
        Listed("Answers", ("model", "label", "confidence", "truth", "source", "folder", how), answers),
    ]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {rows:,}" for name, rows in counts.items())


def _commit(commit: str | None) -> str:
    return commit[:SHORT] if commit else "not committed"


def _runs(runs: Sequence[RunFacts], *, saw: bool = False) -> list[tuple[str, ...]]:
    return [
        (each.step, each.run_id, each.status, day_and_time(each.started), *_saw(each.splits, wanted=saw))
        for each in runs
    ]


def _models(models: Sequence[ModelFacts], *, saw: bool = False) -> list[tuple[str, ...]]:
    return [
        (each.reference, ", ".join(each.aliases), each.run_id, *_saw(each.splits, wanted=saw))
        for each in models
    ]


def _saw(splits: tuple[str, ...], *, wanted: bool) -> tuple[str, ...]:
    return (", ".join(SAW[split] for split in splits),) if wanted else ()
