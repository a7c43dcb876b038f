"""What is asked of which model, and the texts of it: read, cleaned and judged as the model wants them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.data.incoming import TAKEN, Taken, content_digest, take_in
from tunewright.pipeline.steps import READING
from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError
from tunewright.support.files import read_json

if TYPE_CHECKING:
    from tunewright.config.data import Cleaning, DataConfig
    from tunewright.data.columns import Incoming
    from tunewright.pipeline.project import Project
    from tunewright.registry.references import Version

KEY_CHARACTERS = 12
READ_KEYS = frozenset(key.removeprefix("data.") for key in READING) - {"source", "shard_rows"}
"""Keys of ``data`` that say how a source is read; the others belong to training."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of which model."""

    reading: DataConfig
    base_dir: Path
    incoming: Incoming
    version: Version
    source_digest: str
    key: str


def request_of(
    project: Project, source: str, overrides: Sequence[str], version: Version, base_dir: Path
) -> Request:
    """Put together what is asked, and its identity."""
    from tunewright.config.data import DataConfig

    told = _reading_options(project, overrides)
    reading = DataConfig.model_validate({**told, "source": source})
    usual = _usual_columns(project)
    digest = content_digest(reading, base_dir=base_dir)
    rules = project.last_recipe().data.validation.model_dump(mode="json")
    columns = [usual.text_column, usual.label_column]
    return Request(
        reading=reading,
        base_dir=base_dir,
        incoming=usual,
        version=version,
        source_digest=digest,
        key=digest_json([digest, version.uri, version.reference, told, columns, rules]),
    )


def _reading_options(project: Project, overrides: Sequence[str]) -> dict[str, object]:
    """Return what the overrides say of reading; any other key is refused."""
    keys = [word.lstrip("+").partition("=")[0] for word in overrides]
    data = project.compose(overrides).data if keys else None
    for key in keys:
        if key.removeprefix("data.") not in READ_KEYS or not key.startswith("data."):
            raise InputError(
                "doesn't say how a source is read",
                place=key,
                mend=f"these do: {', '.join(f'data.{name}' for name in sorted(READ_KEYS))}",
            )
    names = [key.removeprefix("data.") for key in keys]
    return {name: getattr(data, name) for name in names}


def _usual_columns(project: Project) -> Incoming:
    """Return what text and label were called where the project learned from."""
    from tunewright.data.columns import Incoming
    from tunewright.data.dataset import MANIFEST

    if not (project.paths.processed / MANIFEST).is_file():
        return Incoming()
    facts = project.dataset().manifest.source
    return Incoming(facts.text_column, facts.label_column)


def stem(request: Request) -> str:
    """Return a short name for folders, after the source's."""
    tail = str(request.reading.source).partition("?")[0].rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", tail.partition(".")[0]).strip("-_")[:40] or "texts"


def prepare_texts(
    project: Project, source: str, overrides: Sequence[str] = (), *, below: Path, base_dir: Path
) -> tuple[Path, Taken]:
    """Read, clean and judge texts as the champion wants them, once for the same content.

    Args:
        project: The project.
        source: As in ``infer``.
        overrides: As in ``infer``.
        below: Where the folder goes; its name is made of the source's and of its content.
        base_dir: Where relative paths start.

    Returns:
        The folder (``part-*.parquet``, ``quarantine.jsonl``, ``taken.json``) and what was taken in.

    Raises:
        InputError: When the source can't be found or read, or holds no usable row.
    """
    from tunewright.config.data import Cleaning
    from tunewright.registry.models import load
    from tunewright.registry.references import find_version
    from tunewright.registry.tracking import connect

    tracking = connect(project.last_recipe(), project.paths)
    version = find_version(tracking, "")
    request = request_of(project, source, overrides, version, base_dir)
    cleaning = Cleaning.model_validate(load(tracking, version.reference).cleaning)
    folder = below / f"{stem(request)}-{texts_key(project, request, cleaning)}"
    if not (folder / TAKEN).is_file():
        take_texts_in(project, request, cleaning, folder)
    return folder, Taken.model_validate(read_json(folder / TAKEN))


def take_texts_in(project: Project, request: Request, cleaning: Cleaning, out: Path) -> None:
    """Read, clean and judge the texts of a request into a folder, all or nothing."""
    take_in(
        request.reading,
        cleaning,
        project.last_recipe().data.validation,
        base_dir=request.base_dir,
        out=out,
        incoming=request.incoming,
    )


def texts_key(project: Project, request: Request, cleaning: Cleaning) -> str:
    """Identify texts as they are after cleaning: by the source's content and all that says how it is read."""
    rules = project.last_recipe().data.validation.model_dump(mode="json")
    reading = request.reading.model_dump(mode="json", exclude={"source"})
    columns = [request.incoming.text_column, request.incoming.label_column]
    return digest_json([request.source_digest, reading, columns, rules, cleaning.model_dump(mode="json")])[
        :KEY_CHARACTERS
    ]
