"""From a row to the data versions, runs, model versions, selections, batches and answers that it went into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.data.dataset import SPLITS
from tunewright.data.matching import Wanted, find_rows, rows_numbered
from tunewright.data.quarantine import LONGEST_TEXT, QuarantinedRow, read_quarantine
from tunewright.pipeline.tracing import asked as asking
from tunewright.pipeline.tracing.collected import Collected
from tunewright.pipeline.tracing.facts import Holding, ModelFacts, RowTrace, RunFacts, SetAside
from tunewright.pipeline.tracing.stored import Stored, StoredVersion, open_version, stored_versions
from tunewright.registry.lineage import row_digest
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.data.dataset import SplitName
    from tunewright.data.matching import Match
    from tunewright.pipeline.project import Project
    from tunewright.pipeline.tracing.asked import AskedRow
    from tunewright.registry.learners import LearningRun
    from tunewright.registry.tracking import Tracking

COLUMNS = ("row", "source", "text", "label")
CUT = "…"
"""Ends a text that the quarantine file cut short."""


@dataclass(frozen=True, slots=True)
class RowAsked:
    """A row as the user names it; one of the three."""

    text: str | None = None
    id: str | None = None
    """``row-…``, as in selections and batches."""
    row: int | None = None
    """Row number in the source."""
    within: str = ""
    """The version whose source ``row`` counts in; the present data by default."""


def trace_row(project: Project, row: RowAsked, *, fetch: bool = False) -> RowTrace:
    """Say what a row went into.

    Args:
        project: The project.
        row: Which.
        fetch: Fetch older data from the remote where it isn't on this disk; without it such versions are named
            in ``unread``.

    Raises:
        InputError: When nothing on this disk holds it.
    """
    from tunewright.registry.tracking import connect

    recipe, collected = project.last_recipe(), Collected(project.paths)
    stored = stored_versions(project.paths, fetch=fetch)
    asked = _asked(project, row, stored, collected)
    tracking = connect(recipe, project.paths)
    if asked.text is None:
        return _without_text(asked)
    wanted = Wanted.of(asked.text, recipe.data.cleaning.model_dump(mode="json"))
    data, quarantined = _holdings(stored, wanted), tuple(_set_aside(stored, wanted))
    runs = tuple(_runs(tracking, stored, wanted, data))
    trace = RowTrace(
        asked=asked.words,
        text=None if asked.withheld else asked.text,
        id=f"row-{row_digest(asked.text)}",
        data=data,
        quarantined=quarantined,
        runs=runs,
        models=tuple(_models(tracking, runs)),
        selections=tuple(collected.chosen(wanted)),
        batches=tuple(collected.labelled(wanted)),
        answers=tuple(collected.answered(wanted)),
        unread=tuple(each.commit for each in stored.unread),
        notes=(*collected.notes, *_notes(stored)),
    )
    _refuse_nothing(trace, stored)
    return trace


def _asked(project: Project, row: RowAsked, stored: Stored, collected: Collected) -> AskedRow:
    """Find out which row is meant."""
    if row.text is not None:
        return asking.by_text(row.text)
    if row.id is not None:
        return asking.by_id(row.id, stored, collected)
    if row.row is None:
        raise InputError("names no row", place="trace", mend="give a text, an id or a row number")
    return asking.by_number(row.row, _version_within(project, row.within, stored), row.within)


def _version_within(project: Project, words: str, stored: Stored) -> StoredVersion:
    """Open the version whose rows are numbered."""
    from tunewright.pipeline import data_versions

    if not words:
        if stored.current is None:
            raise InputError(
                "there is no present data set",
                place=str(project.paths.processed),
                mend="run `tunewright run`",
            )
        return stored.current
    found = data_versions.find(words, project.paths, project.last_recipe())
    return stored.find(found.commit) or open_version(found, project.paths, fetch=True)


def _holdings(stored: Stored, wanted: Wanted) -> tuple[Holding, ...]:
    """Find the rows of each data version; a shard that several versions share is read once."""
    known: dict[Path, list[dict[str, Any]]] = {}
    found = []
    for version in stored.versions:
        for split, shard in version.shards():
            if shard not in known:
                known[shard] = find_rows(shard, wanted, COLUMNS)
            found += [_holding(version, split, row, wanted) for row in known[shard]]
    return tuple(found)


def _holding(version: StoredVersion, split: SplitName, row: dict[str, Any], wanted: Wanted) -> Holding:
    match = wanted.match(row["text"])
    assert match is not None  # noqa: S101 - it was found by it
    return Holding(
        commit=version.commit,
        when=version.when,
        digest=version.digest,
        current=version.is_current,
        split=split,
        match=match,
        **row,
    )


def _set_aside(stored: Stored, wanted: Wanted) -> Iterator[SetAside]:
    """Find the rows that each data version set aside; a file that several versions share is read once."""
    known: dict[Path, list[tuple[QuarantinedRow, Match]]] = {}
    for version in stored.versions:
        if version.quarantine is None:
            continue
        if version.quarantine not in known:
            known[version.quarantine] = _matching(version.quarantine, version.cleaned, wanted)
        for entry, match in known[version.quarantine]:
            yield _as_set_aside(version, entry, match)


def _matching(
    quarantine: Path, cleaned: Iterable[Path], wanted: Wanted
) -> list[tuple[QuarantinedRow, Match]]:
    """Return the rows of a quarantine file that hold the text, with how."""
    found, unsure = [], []
    for entry in read_quarantine(quarantine):
        if match := wanted.match(entry.text):
            found.append((entry, match))
        elif _is_cut(entry, wanted):
            unsure.append(entry)
    texts = _texts_of([entry.row for entry in unsure], cleaned)
    found += [(entry, match) for entry in unsure if (match := wanted.match(texts.get(entry.row)))]
    return sorted(found, key=lambda each: each[0].row)


def _is_cut(entry: QuarantinedRow, wanted: Wanted) -> bool:
    """Tell whether the quarantine file leaves out what would tell."""
    if entry.text is None:
        return True
    is_short = len(entry.text) < LONGEST_TEXT or not entry.text.endswith(CUT)
    return not is_short and wanted.may_begin(entry.text.removesuffix(CUT))


def _texts_of(numbers: list[int], parts: Iterable[Path]) -> dict[int, str]:
    """Read the whole texts of some rows."""
    if not numbers:
        return {}
    rows = (row for part in parts for row in rows_numbered(part, numbers, ("row", "text")))
    return {row["row"]: row["text"] for row in rows}


def _as_set_aside(version: StoredVersion, entry: QuarantinedRow, match: Match | None) -> SetAside:
    return SetAside(
        commit=version.commit,
        when=version.when,
        digest=version.digest,
        current=version.is_current,
        row=entry.row,
        source=entry.source,
        reason=entry.reason,
        detail=entry.detail,
        label=entry.label,
        match=match,
    )


def _without_text(asked: AskedRow) -> RowTrace:
    """Trace a row that was set aside because it has no text: nothing else can hold it."""
    assert asked.set_aside is not None  # noqa: S101 - every other row has a text
    version, entry = asked.set_aside
    nothing: dict[str, Any] = dict.fromkeys(
        ("data", "runs", "models", "selections", "batches", "answers"), ()
    )
    aside = (_as_set_aside(version, entry, None),)
    return RowTrace(asked=asked.words, text=None, id="", quarantined=aside, **nothing)


def _runs(
    tracking: Tracking, stored: Stored, wanted: Wanted, data: tuple[Holding, ...]
) -> Iterator[RunFacts]:
    """Find the runs that saw the row: by their data set where it was read, else by the rows that they kept."""
    from tunewright.registry.learners import learning_runs, splits_with

    splits_of: dict[str, set[str]] = {version.digest: set() for version in stored.versions}
    for each in data:
        splits_of[each.digest].add(each.split)
    digests = {row_digest(text) for text in (wanted.text, wanted.cleaned, *(each.text for each in data))}
    runs = learning_runs(tracking)
    for run in runs:
        if run.data_digest not in splits_of and run.step == "train":
            kept = splits_with(tracking, run.run_id, digests)
            splits_of |= {run.data_digest: set(kept)} if kept is not None else {}
    for run in runs:
        held = splits_of.get(run.data_digest, set())
        if splits := run.seen(split for split in SPLITS if split in held):
            yield run_facts(run, splits)


def run_facts(run: LearningRun, splits: tuple[str, ...] = ()) -> RunFacts:
    """Describe a run."""
    return RunFacts(
        run_id=run.run_id,
        name=run.name,
        step=run.step,
        status=run.status,
        started=run.started,
        data_digest=run.data_digest,
        splits=splits,
    )


def _models(tracking: Tracking, runs: tuple[RunFacts, ...]) -> Iterator[ModelFacts]:
    """Give the model versions that came of some runs."""
    from tunewright.registry.references import versions_of

    splits = {run.run_id: run.splits for run in runs}
    for version in versions_of(tracking, tracking.model_name):
        if version.run_id in splits:
            yield ModelFacts(
                name=version.name,
                version=version.version,
                aliases=version.aliases,
                run_id=version.run_id,
                splits=splits[version.run_id],
            )


def _notes(stored: Stored) -> Iterator[str]:
    if lacking := sum(not version.is_complete for version in stored.versions):
        yield f"what {lacking:,} data versions set aside is not all on this disk: --fetch fetches it"


def _refuse_nothing(trace: RowTrace, stored: Stored) -> None:
    """Refuse a text that nothing holds."""
    if any((trace.data, trace.quarantined, trace.runs, trace.selections, trace.batches, trace.answers)):
        return
    looked = f"none of {len(stored.versions):,} data versions, nor a selection, labelled batch or answer"
    unread = f"{len(stored.unread):,} more are not on this disk: add --fetch"
    raise InputError(
        f"{looked}, holds it",
        place=trace.asked,
        mend=unread if stored.unread else "case, white space and punctuation don't matter; the words do",
    )
