"""Hand rows out to be labelled, and take the labels back as a batch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from tunewright.data.dataset import MANIFEST as DATA_MANIFEST
from tunewright.data.dataset import Facts
from tunewright.data.labelled import batch_lines, digest_batch
from tunewright.data.labelling import Conflicts, Reconciled, reconcile
from tunewright.data.labelling_export import FORMAT_OF_SUFFIX, FORMATS, WRITERS, Format, labelling_config
from tunewright.data.labelling_import import read_labels
from tunewright.data.selection import Selection
from tunewright.evaluation.agreement import Agreement, agreement
from tunewright.pipeline.pool import LABELLED
from tunewright.support.errors import InputError, nearest
from tunewright.support.files import write_json, write_text

if TYPE_CHECKING:
    from tunewright.pipeline.project import Project

SET_ASIDE = Path("data/set_aside")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
CONTROL = "random"


@dataclass(frozen=True, slots=True)
class Exported:
    """Files for annotators."""

    file: Path
    rows: int
    config: Path | None
    """Label Studio's labelling configuration."""


class Control(Facts):
    """What the control share says: it was drawn at random, so that this holds for the whole pool."""

    rows: int
    """Control rows with a label."""
    right: int
    """Those on which the model's answer is that label."""


class BatchSummary(Facts):
    """What a labelled batch is; the JSON file beside it holds it."""

    name: str
    selection: str
    selection_digest: str
    model: str
    version: int
    """Model and version whose answers the rows were chosen by."""
    files: tuple[str, ...]
    """Files that the labels came from."""
    conflicts: Conflicts
    rows: int
    labels: dict[str, int]
    new_labels: dict[str, int]
    """Labels that nobody knew before, with their rows."""
    set_aside: dict[str, int]
    """What didn't make it into the batch, by reason."""
    agreement: Agreement
    control: Control
    created: str
    digest: str
    """Identity of the batch: its texts and labels."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A labelled batch on disk."""

    file: Path
    set_aside: Path | None
    """What didn't make it, with reasons; None when everything did."""
    summary: BatchSummary


def export_labels(
    project: Project, selection: Path, file: Path, *, to: Format | None = None, force: bool = False
) -> Exported:
    """Write a selection as a file for annotators.

    Args:
        project: The project.
        selection: The folder of a selection.
        file: Where to.
        to: ``csv``, ``jsonl`` or ``label-studio``; by default what the file's suffix says.
        force: Replace what is there.

    Raises:
        InputError: When there is no such selection, the format isn't known, or the file exists.
    """
    kind = _format(file, to)
    opened = Selection.load(selection)
    written = WRITERS[kind](opened.rows)
    config = file.with_suffix(".xml") if kind == "label-studio" else None
    view = labelling_config(_known_labels(project, opened)) if config else ""
    for path in (file, config):
        _refuse_existing(path, force=force)
    write_text(file, written)
    if config:
        write_text(config, view)
    return Exported(file, len(opened.rows), config)


def import_labels(
    project: Project,
    files: Sequence[Path],
    selection: Path,
    *,
    name: str | None = None,
    conflicts: Conflicts = "quarantine",
    new_labels: bool = False,
    force: bool = False,
) -> Imported:
    """Check labels against the selection that was handed out, and write those that stand as a batch.

    ``data/labelled/NAME.jsonl`` has a row a text (``text``, ``label``, ``id``, ``annotators``), ``NAME.json`` beside it
    says what it is, and ``data/set_aside/NAME.jsonl`` holds everything else with its reason.

    Args:
        project: The project.
        files: What came back: a file an annotator, or files that say who labelled.
        selection: The folder of the selection.
        name: Name of the batch; the selection's by default.
        conflicts: What becomes of a row on which annotators disagree (see ``data.labelling.reconcile``).
        new_labels: Whether labels that are not known yet may be given.
        force: Replace a batch of that name.

    Raises:
        InputError: When a file can't be read, no row has a valid label, or the batch exists and is another.
    """
    opened = Selection.load(selection)
    if conflicts not in get_args(Conflicts):
        raise InputError(
            "is not known", place=f"--conflicts {conflicts}", mend=f"known: {', '.join(get_args(Conflicts))}"
        )
    name = name or opened.folder.resolve().name
    if not NAME.fullmatch(name):
        raise InputError("is no name for a batch", place=name, mend="use letters, digits, dots and dashes")
    found = reconcile(
        opened.rows,
        read_labels(files),
        known=_known_labels(project, opened),
        new_labels=new_labels,
        conflicts=conflicts,
    )
    batch = project.paths.root / LABELLED / f"{name}.jsonl"
    aside = project.paths.root / SET_ASIDE / f"{name}.jsonl"
    lines = batch_lines(found.rows)
    if not batch.is_file() or batch.read_text(encoding="utf-8") != lines:
        _refuse_existing(batch, force=force, another="--name")
    if found.set_aside:
        write_text(aside, batch_lines(found.set_aside))
    else:
        aside.unlink(missing_ok=True)
    if not found.rows:
        raise InputError(
            f"no row has a label that stands ({_listed(_reasons(found))})",
            place=str(aside),
            mend="look at the reasons there",
        )
    summary = _summary(name, opened, files, found, conflicts)
    write_text(batch, lines)
    write_json(batch.with_suffix(".json"), summary.model_dump(mode="json"))
    return Imported(batch, aside if found.set_aside else None, summary)


def _summary(
    name: str, selection: Selection, files: Sequence[Path], found: Reconciled, conflicts: Conflicts
) -> BatchSummary:
    """Say what a batch is."""
    labels: dict[str, int] = {}
    for row in found.rows:
        labels[row.label] = labels.get(row.label, 0) + 1
    given = {row.id: row.label for row in found.rows}
    control = [row for row in selection.rows if row.strategy == CONTROL and row.id in given]
    manifest = selection.manifest
    return BatchSummary(
        name=name,
        selection=selection.folder.resolve().name,
        selection_digest=manifest.digest,
        model=manifest.model,
        version=manifest.version,
        files=tuple(path.name for path in files),
        conflicts=conflicts,
        rows=len(found.rows),
        labels=dict(sorted(labels.items(), key=lambda item: (-item[1], item[0]))),
        new_labels=found.new_labels,
        set_aside=_reasons(found),
        agreement=agreement(found.votes),
        control=Control(rows=len(control), right=sum(row.suggested == given[row.id] for row in control)),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        digest=digest_batch(found.rows),
    )


def _known_labels(project: Project, selection: Selection) -> tuple[str, ...]:
    """Return the labels of the model that answered, then those that the data set has beside."""
    known = dict.fromkeys(selection.manifest.label_names)
    if (project.paths.processed / DATA_MANIFEST).is_file():
        known |= dict.fromkeys(project.dataset().label_names)
    return tuple(known)


def _format(file: Path, to: str | None) -> Format:
    """Return the format that is asked for, or that the file's name tells."""
    kind = to or FORMAT_OF_SUFFIX.get(file.suffix.lower())
    if kind is None:
        raise InputError(
            "its name doesn't tell the format", place=str(file), mend=f"add --to {' or '.join(FORMATS)}"
        )
    if kind not in FORMATS:
        hint = nearest(kind, list(FORMATS))
        raise InputError("is no format", place=f"--to {kind}", mend=hint or f"known: {', '.join(FORMATS)}")
    return next(each for each in FORMATS if each == kind)


def _refuse_existing(path: Path | None, *, force: bool, another: str = "") -> None:
    if path is not None and path.exists() and not force:
        other = f"another name with {another}" if another else "another file"
        raise InputError("exists already", place=str(path), mend=f"give {other}, or add --force")


def _reasons(found: Reconciled) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in found.set_aside:
        counts[each.reason] = counts.get(each.reason, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {rows:,}" for reason, rows in counts.items()) or "the selection is empty"
