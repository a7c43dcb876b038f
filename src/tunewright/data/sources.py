"""What a source is and how it will be read, before anything is read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.data.locations import Source, locate
from tunewright.data.streams import SourceFile, faults_of

if TYPE_CHECKING:
    from tunewright.config.data import DataConfig
    from tunewright.data.columns import Incoming
    from tunewright.data.dataset import SourceFacts
    from tunewright.data.detection import FileFacts
    from tunewright.data.readers import Layout
    from tunewright.data.rows import Rows, Tally, Values


@dataclass(frozen=True, slots=True)
class Plan:
    """A source with the way in which it will be read."""

    facts: SourceFacts
    layout: Layout
    files: tuple[tuple[SourceFile, FileFacts], ...] = ()
    stream: Any = None
    """An open hub data set, in place of files."""
    labelled: bool = True
    """Whether every row must have a label."""

    def parts(self, config: DataConfig, tally: Tally) -> list[tuple[str, Rows]]:
        """Return the rows of each file under its name; nothing is opened before its rows are asked for."""
        from tunewright.data.hub import hub_rows
        from tunewright.data.readers import read

        if self.stream is not None:
            return [(self.facts.uri, hub_rows(self.stream, self.layout.columns, config))]
        return [(file.name, read(file, facts, self.layout, tally)) for file, facts in self.files]


def inspect(config: DataConfig, *, base_dir: Path) -> SourceFacts:
    """Say how a source would be read, from its names and first rows.

    Args:
        config: The source and what is told about it; what is told is not detected.
        base_dir: The folder that relative paths start from.

    Raises:
        InputError: When it can't be found or read, or a choice is not clear.
        MissingExtraError: When its store needs a package that is not installed.
    """
    return plan(config, base_dir=base_dir).facts


def local_files(config: DataConfig, *, base_dir: Path) -> list[Path]:
    """Return the local files that a source consists of; none for one behind a URL or on the hub.

    Raises:
        InputError: When there is no such file or folder.
    """
    source = locate(config, base_dir=base_dir)
    return [Path(file.path) for file in source.files] if source.kind == "local" else []


def fingerprint(config: DataConfig, *, base_dir: Path) -> dict[str, str]:
    """Return what tells one state of a remote source from another, without reading it.

    That is the commit of a hub data set, and for each remote file what its store gives: the ETag or another
    checksum, else size and time of change. Local sources have none: their content is hashed.

    Raises:
        InputError: When the source can't be reached.
    """
    source = locate(config, base_dir=base_dir)
    if source.kind == "hub":
        from tunewright.data.hub import hub_revision

        return {"revision": hub_revision(config)}
    return {file.name: _state(file) for file in source.files} if source.kind == "remote" else {}


def plan(config: DataConfig, *, base_dir: Path, incoming: Incoming | None = None) -> Plan:
    """Find the source, detect how each file is read, and choose the columns.

    Args:
        config: The source and what is told about it.
        base_dir: The folder that relative paths start from.
        incoming: Given where the source holds texts to be answered: labels may be absent.

    Raises:
        InputError: When it can't be found or read, a choice is not clear, or its files don't fit together.
    """
    source = locate(config, base_dir=base_dir)
    if source.kind == "hub":
        return _hub_plan(config, incoming)
    return _file_plan(source, config, incoming)


def _hub_plan(config: DataConfig, incoming: Incoming | None) -> Plan:
    """Plan for a hub data set."""
    from tunewright.data.dataset import SourceFacts
    from tunewright.data.hub import hub_columns, hub_rows, open_hub
    from tunewright.data.readers import SAMPLE_ROWS, Layout
    from tunewright.data.rows import Malformed

    stream, uri = open_hub(config), str(config.source)
    columns = hub_columns(stream)
    found = itertools.islice(hub_rows(stream, columns, config), SAMPLE_ROWS)
    sample = [row for row in found if not isinstance(row, Malformed)]
    text, label, notes = _columns(columns, sample, config, incoming, place=uri)
    facts = SourceFacts(uri=uri, format="hub", text_column=text, label_column=label, notes=notes)
    return Plan(facts, Layout(columns, text, label), stream=stream, labelled=incoming is None)


def _columns(
    names: tuple[str, ...],
    sample: Sequence[Values],
    config: DataConfig,
    incoming: Incoming | None,
    *,
    place: str,
) -> tuple[str, str | None, tuple[str, ...]]:
    """Choose text and label column, the way that suits what the source is for."""
    from tunewright.data.columns import choose_columns, choose_incoming

    if incoming is None:
        return choose_columns(names, sample, config, place=place)
    return choose_incoming(names, sample, config, incoming, place=place)


def _file_plan(source: Source, config: DataConfig, incoming: Incoming | None) -> Plan:
    """Plan for files; the first one decides on columns, the others must fit."""
    from tunewright.data.dataset import SourceFacts
    from tunewright.data.detection import detect
    from tunewright.data.dialects import DELIMITER_NAMES
    from tunewright.data.readers import Layout, sample_columns

    labelled = incoming is None
    first = detect(source.files[0], config, labelled=labelled)
    columns, sample = sample_columns(source.files[0], first)
    text, label, chosen = _columns(columns, sample, config, incoming, place=source.files[0].place)
    layout = Layout(columns, text, label)
    others = ((file, _fitting(file, first, layout, config, labelled=labelled)) for file in source.files[1:])
    files = [(source.files[0], first), *others]
    many = len(files) > 1
    notes = [f"{file.name}: {note}" if many else note for file, facts in files for note in facts.notes]
    if source.ignored:
        notes.append(f"not read, because they hold no rows by their names: {', '.join(source.ignored[:10])}")
    dialect = first.dialect
    facts = SourceFacts(
        uri=source.uri,
        format=first.format,
        encoding=", ".join(dict.fromkeys(item.encoding for _, item in files if item.encoding)) or None,
        delimiter=None if dialect is None else DELIMITER_NAMES.get(dialect.delimiter, dialect.delimiter),
        quoting=None if dialect is None else ("minimal" if dialect.quoted else "none"),
        header=first.header,
        text_column=text,
        label_column=label,
        notes=(*notes, *chosen),
    )
    return Plan(facts, layout, tuple(files), labelled=labelled)


def _fitting(
    file: SourceFile, first: FileFacts, layout: Layout, config: DataConfig, *, labelled: bool
) -> FileFacts:
    """Detect a further file of a folder and refuse it when its columns are others."""
    from tunewright.data.detection import detect
    from tunewright.data.readers import sample_columns
    from tunewright.support.errors import InputError

    facts = detect(file, config, labelled=labelled)
    if facts.format != first.format:
        raise InputError(
            f"is {facts.format} and the files before it are {first.format}",
            place=file.place,
            mend="set data.source to files of one format",
        )
    if facts.dialect is not None and not first.header:
        # A small part may look as if it had a header, or be of one width by chance: the first file decides.
        columns = layout.columns if len(facts.columns) == len(layout.columns) else facts.columns
        facts = replace(facts, header=False, columns=columns)
    names = facts.columns or sample_columns(file, facts)[0]
    ordered = facts.dialect is not None
    fits = (
        names == layout.columns
        if ordered
        else {layout.text, layout.label or layout.text} <= set(names) <= set(layout.columns)
    )
    if facts.format == "parquet":
        fits = set(names) == set(layout.columns)
    if not fits or (ordered and facts.header != first.header):
        raise InputError(
            f"has the columns {', '.join(names)} where the files before it have {', '.join(layout.columns)}",
            place=file.place,
            mend="give all files the same columns, or set data.source to one of them",
        )
    return facts


def _state(file: SourceFile) -> str:
    """Return what a store says about the state of one file."""
    with faults_of(file.place):
        facts = file.filesystem.info(file.path)
    keys = ("ETag", "etag", "md5Hash", "md5", "content_md5", "VersionId", "generation", "checksum", "sha")
    told = [f"{key}={facts[key]}" for key in keys if facts.get(key)]
    times = [
        f"{key}={facts[key]}"
        for key in ("LastModified", "last_modified", "mtime", "updated")
        if facts.get(key)
    ]
    return " ".join([*(told or times), f"size={facts.get('size')}"])
