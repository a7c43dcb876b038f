"""Labels as files bring them back: CSV, TSV, JSON, JSON Lines or Parquet with a row a label, or Label Studio's export.

Files are read by the readers of data sets, because a spreadsheet saves in whatever encoding and with whatever delimiter
it pleases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.config.data import DataConfig
from tunewright.data.cells import label_text
from tunewright.data.decoding import lines, text_chunks
from tunewright.data.detection import FileFacts, detect
from tunewright.data.json_rows import Window, array_rows, line_rows
from tunewright.data.labelling import GivenLabel
from tunewright.data.labelling_export import CONTROL, ROW_ID
from tunewright.data.readers import Layout, read, sample_columns
from tunewright.data.rows import Malformed, Tally
from tunewright.data.spreadsheets import unescaped
from tunewright.data.streams import SourceFile
from tunewright.support.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

SPREADSHEETS = frozenset({"csv", "tsv"})
CHOICES = "choices"


def read_labels(paths: Sequence[Path]) -> Iterator[GivenLabel]:
    """Give every label that files hold.

    A file is one annotator's, called by the file's name, unless it says who gave a label: a column ``annotator``, or
    ``completed_by`` in Label Studio's export.

    Args:
        paths: The files; each is read in memory that doesn't grow with it.

    Raises:
        InputError: When a file can't be read, or has no columns ``id`` and ``label``.
    """
    for path, annotator in zip(paths, _names(paths), strict=True):
        if not path.is_file():
            raise InputError("no such file", place=str(path), mend=_nearby(path))
        file = SourceFile(path.name, str(path))
        facts = detect(file, DataConfig(source=str(path), header="yes", quoting="minimal"))
        for number, value in enumerate(_values(file, facts), start=1):
            place = f"{path.name} row {number}"
            yield from _labels_of(value, place, annotator, path)


def _names(paths: Sequence[Path]) -> list[str]:
    """Call annotators by their files: by the shortest form that tells them apart."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [path.as_posix() for path in paths]


def _nearby(path: Path) -> str:
    siblings = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
    return nearest(path.name, siblings) or "check the name"


def _values(file: SourceFile, facts: FileFacts) -> Iterator[Any]:
    """Give the rows of a file as mappings, or why one could not be read."""
    if facts.format in {"json", "jsonl"}:
        with file.open() as stream:
            chunks = text_chunks(stream, str(facts.encoding))
            if facts.format == "jsonl":
                yield from line_rows(lines(chunks))
            else:
                yield from array_rows(Window(chunks, place=file.place), facts.json_field)
        return
    names, _ = sample_columns(file, facts)
    undo = unescaped if facts.format in SPREADSHEETS else str
    # A row needs no more than its first column: what else is missing shows by itself.
    for values in read(file, facts, Layout(names, names[0], None), Tally()):
        if isinstance(values, Malformed):
            yield values
        else:
            cells = (undo(cell) if isinstance(cell, str) else cell for cell in values)
            yield dict(zip(names, cells, strict=True))


def _labels_of(value: Any, place: str, annotator: str, path: Path) -> Iterator[GivenLabel]:  # noqa: ANN401
    """Give the labels of one row of a file."""
    if isinstance(value, Malformed):
        fault = ("unreadable", f"{value.reason}: {value.detail}")
        yield GivenLabel(place, annotator, text=value.text, fault=fault)
    elif not isinstance(value, Mapping):
        yield GivenLabel(place, annotator, fault=("unreadable", "a row is an object with fields"))
    elif isinstance(value.get("data"), Mapping) and isinstance(value.get("annotations"), list):
        yield from _of_task(value, place, annotator)
    else:
        yield _of_row(value, place, annotator, path)


def _of_row(value: Mapping[str, Any], place: str, annotator: str, path: Path) -> GivenLabel:
    """Read a flat row."""
    fields = {str(name).strip().lower(): cell for name, cell in value.items() if name is not None}
    id_field = ROW_ID if ROW_ID in fields else "id"
    for name in (id_field, "label"):
        if name not in fields:
            raise InputError(
                f"has no column '{name}'",
                place=str(path),
                mend=nearest(name, list(fields)) or f"it has: {', '.join(fields)}",
            )
    label = fields["label"]
    if (
        isinstance(label, Mapping) and CHOICES in label
    ):  # as Label Studio's short export writes several choices
        return _with_choices(
            label[CHOICES], GivenLabel(place, _who(fields, annotator), *_what(fields, id_field))
        )
    found = label_text(label)
    fault = ("unreadable", found.detail) if isinstance(found, Malformed) else None
    return GivenLabel(
        place,
        _who(fields, annotator),
        *_what(fields, id_field),
        label=None if isinstance(found, Malformed) else found,
        fault=fault,
    )


def _who(fields: Mapping[str, Any], annotator: str) -> str:
    """Return who gave a label: what the row says, or whose file it is."""
    said = _plain(fields.get("annotator"))
    return said or annotator


def _what(fields: Mapping[str, Any], id_field: str) -> tuple[str | None, str | None]:
    """Return id and text of a row."""
    text = fields.get("text")
    return _plain(fields[id_field]), None if text is None else str(text)


def _of_task(task: Mapping[str, Any], place: str, annotator: str) -> Iterator[GivenLabel]:
    """Read a task of Label Studio's export: one label an annotation; those that were skipped give none."""
    data = task["data"]
    row_id, text = _plain(data.get(ROW_ID, data.get("id"))), data.get("text")
    given = [each for each in task["annotations"] if isinstance(each, Mapping)]
    if not given:
        yield GivenLabel(
            place, annotator, row_id, text, fault=("missing_label", "nobody has labelled the task")
        )
    for each in given:
        who = each.get("completed_by")
        if isinstance(who, Mapping):
            who = who.get("id", who.get("email"))
        label = GivenLabel(place, _plain(who) or annotator, row_id, None if text is None else str(text))
        if each.get("was_cancelled"):
            yield _faulty(label, "missing_label", "the annotator skipped the task")
        else:
            yield _with_choices(_choices(each.get("result")), label)


def _choices(result: object) -> list[object]:
    """Return what was chosen in an annotation."""
    parts = result if isinstance(result, list) else []
    parts = [part for part in parts if isinstance(part, Mapping) and part.get("type") == CHOICES]
    named = [part for part in parts if part.get("from_name") == CONTROL] or parts
    return [
        choice
        for part in named
        if isinstance(part.get("value"), Mapping)
        for choice in part["value"].get(CHOICES) or []
    ]


def _with_choices(choices: object, given: GivenLabel) -> GivenLabel:
    """Put the one choice that was made on a label."""
    found = choices if isinstance(choices, list) else []
    if len(found) > 1:
        return _faulty(given, "several_labels", f"one is expected, not {', '.join(map(str, found))}")
    label = label_text(found[0]) if found else None
    if isinstance(label, Malformed):
        return _faulty(given, "unreadable", label.detail)
    return GivenLabel(given.place, given.annotator, given.id, given.text, label)


def _faulty(given: GivenLabel, reason: str, detail: str) -> GivenLabel:
    return GivenLabel(given.place, given.annotator, given.id, given.text, fault=(reason, detail))


def _plain(value: object) -> str | None:
    """Return an id or a name as text; nothing for what is none."""
    if value is None or isinstance(value, Mapping | list):
        return None
    return str(value).strip() or None
