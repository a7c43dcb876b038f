"""From a model version or a data version to what it came from, what came of it, and its rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from tunewright.data.additions import PREFIX as BATCH
from tunewright.data.additions import is_addition
from tunewright.data.dataset import SPLITS
from tunewright.data.matching import MEND
from tunewright.data.parts import row_groups
from tunewright.pipeline import data_versions, history
from tunewright.pipeline.repository import Repository
from tunewright.pipeline.tracing.collected import Collected
from tunewright.pipeline.tracing.facts import DataFacts, ListedRow, ModelFacts, VersionTrace
from tunewright.pipeline.tracing.row import run_facts
from tunewright.pipeline.tracing.stored import StoredVersion, files_below, in_project, open_version
from tunewright.registry.tracking import without_credentials
from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tunewright.data.dataset import Dataset, SplitName
    from tunewright.evaluation.graph import Graph
    from tunewright.pipeline.project import Project
    from tunewright.registry.learners import LearningRun
    from tunewright.registry.references import Version
    from tunewright.registry.tracking import Tracking

MODEL = re.compile(r"models:/.+|.*@.*|.+/\d+|\d{1,5}")
"""What can name a model version; git's own names of this form are tried after it."""
LISTED = ("row", "source", "label", "text")


@dataclass(frozen=True, slots=True)
class Listing:
    """Which rows of a version to list."""

    split: SplitName | None = None
    """All splits by default."""
    limit: int = 100


def trace_version(project: Project, what: str = "", listing: Listing | None = None) -> VersionTrace:
    """Say where a version comes from, and what came of it.

    Args:
        project: The project.
        what: A model version (``NAME/3``, ``NAME@champion``), or a data version (a commit, the first characters of a
            digest, a run, ``latest``); empty takes the champion.
        listing: Rows to list; their bytes are fetched from the remote where they aren't on this disk.

    Raises:
        InputError: When ``what`` names nothing.
        TunewrightError: When rows are asked for that neither the cache nor the remote holds.
    """
    from tunewright.registry.tracking import connect

    tracking = connect(project.last_recipe(), project.paths)
    if not what or MODEL.fullmatch(what) or what == tracking.model_name:
        try:
            return _of_model(project, tracking, what, listing)
        except InputError:
            if not what or _data_commit(project, what) is None:
                raise
    return _of_data(project, tracking, what, listing)


def candidate_lineage(tracking: Tracking, dataset: Dataset, pointer: Mapping[str, Any]) -> Graph:
    """Draw where a model comes from that isn't registered yet.

    Args:
        tracking: Where its run is recorded.
        dataset: What it learned from, in the project.
        pointer: What the training step wrote of it.
    """
    from tunewright.pipeline.tracing.drawing import candidate_graph
    from tunewright.registry.learners import learning_run

    run = learning_run(tracking, pointer["logged"]["run_id"])
    digest, files = dataset.manifest.digest, files_below(dataset.root)
    stored = StoredVersion(run.data_commit or None, "", digest, "", True, files, None, ())
    uri, base = pointer["logged"]["uri"], pointer["base"]["name"]
    return candidate_graph(_facts(stored), run_facts(run), base=base, uri=uri)


def _data_commit(project: Project, what: str) -> str | None:
    """Return the commit that words name in git, whatever they look like."""
    return Repository(project.paths.root).resolve(what)


def _of_model(project: Project, tracking: Tracking, what: str, listing: Listing | None) -> VersionTrace:
    from tunewright.registry.learners import learning_run
    from tunewright.registry.lineage import trace
    from tunewright.registry.references import find_version

    version = find_version(tracking, what)
    run = learning_run(tracking, version.run_id)
    return _trace(
        project,
        VersionTrace(
            asked=what or version.reference,
            kind="model",
            model=trace(tracking, version.reference),
            data=None,
            runs=(run_facts(run),),
            models=(_model(version),),
            answers=(),
        ),
        _data_of(project, run, fetch=listing is not None),
        listing,
    )


def _of_data(project: Project, tracking: Tracking, what: str, listing: Listing | None) -> VersionTrace:
    from tunewright.registry.learners import learning_runs
    from tunewright.registry.references import versions_of

    found = data_versions.find(what, project.paths, project.last_recipe())
    stored = open_version(found, project.paths, fetch=listing is not None)
    runs = tuple(run_facts(run) for run in learning_runs(tracking) if run.data_digest == stored.digest)
    ids = {run.run_id for run in runs}
    models = tuple(_model(each) for each in versions_of(tracking, tracking.model_name) if each.run_id in ids)
    asked = VersionTrace(asked=what, kind="data", model=None, data=None, runs=runs, models=models, answers=())
    return _trace(project, asked, stored, listing)


def _data_of(project: Project, run: LearningRun, *, fetch: bool) -> StoredVersion | None:
    """Open the data that a run read; ``None`` where neither a commit nor the project holds it."""
    repository = Repository(project.paths.root)
    known = history.find_digest(repository, "split", run.data_digest)
    commit = known.commit if known else run.data_commit and repository.resolve(run.data_commit)
    if commit:
        return open_version(data_versions.at(commit, repository), project.paths, fetch=fetch)
    present = in_project(project.paths)
    return present if present.is_here and present.digest == run.data_digest else None


def _trace(
    project: Project, trace: VersionTrace, stored: StoredVersion | None, listing: Listing | None
) -> VersionTrace:
    """Add the data, its rows, and the answers of the models."""
    collected = Collected(project.paths)
    answers = collected.answers_of({each.reference for each in trace.models})
    found: dict[str, Any] = {"answers": answers, "notes": (*collected.notes, *_notes(stored))}
    if stored is not None:
        found["data"] = _facts(stored)
    if listing is not None:
        if stored is None:
            raise TunewrightError(
                "its rows can't be listed: no commit on this branch holds its data",
                place=trace.asked,
                mend="`tunewright data log` lists the versions that can be read",
            )
        splits = (listing.split,) if listing.split else SPLITS
        counts = stored.manifest().splits
        found["rows"] = tuple(islice(_rows(stored, splits), listing.limit))
        found["rows_in_all"] = sum(counts.get(split, 0) for split in splits)
    return trace.model_copy(update=found)


def _notes(stored: StoredVersion | None) -> Iterator[str]:
    if stored is None:
        yield "no commit on this branch holds its data (data.versioning.commit was off, say)"
    elif not stored.is_here:
        yield "its data is not on this disk: --rows fetches it from the remote"


def _model(version: Version) -> ModelFacts:
    return ModelFacts(
        name=version.name, version=version.version, aliases=version.aliases, run_id=version.run_id
    )


def _facts(stored: StoredVersion) -> DataFacts:
    """Describe a data version."""
    known = DataFacts(commit=stored.commit, when=stored.when, digest=stored.digest, run_id=stored.run_id)
    if not stored.is_here:
        return known
    manifest = stored.manifest()
    batches = _batches(stored) if any(map(is_addition, manifest.source.files)) else {}
    uri = without_credentials(manifest.source.uri)
    splits = {split: manifest.splits[split] for split in SPLITS if split in manifest.splits}
    return known.model_copy(update={"source": uri, "splits": splits, "batches": batches})


def _batches(stored: StoredVersion) -> dict[str, dict[str, int]]:
    """Count the rows of labelled batches by batch and split; of the shards the sources alone are read."""
    counts: dict[str, dict[str, int]] = {}
    for split, shard in stored.shards():
        for table in row_groups(shard, ("source",), mend=MEND):
            for entry in table.column("source").value_counts().to_pylist():
                if is_addition(name := str(entry["values"])):
                    batch = counts.setdefault(name.removeprefix(BATCH), {})
                    batch[split] = batch.get(split, 0) + entry["counts"]
    return dict(sorted(counts.items()))


def _rows(stored: StoredVersion, splits: Sequence[SplitName]) -> Iterator[ListedRow]:
    """Give the rows of some splits as they stand in the shards, a row group at a time."""
    for split, shard in stored.shards(splits):
        for table in row_groups(shard, LISTED, mend=MEND):
            yield from (ListedRow(split=split, **row) for row in table.to_pylist())
