"""Files that arrive: which are whole, which are new, and where those that can't be read go.

A folder is watched by content. A file counts once its size and time have stayed the same between two looks; then it is
hashed, once. Names that programs give to files in the making (``.part``, ``.tmp`` …) and hidden ones are left alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tunewright.support.digests import digest_file
from tunewright.support.files import write_json

UNFINISHED = re.compile(r"^[.~]|~$|\.(part|partial|tmp|temp|crdownload|download|swp|lock)$", re.IGNORECASE)
SETTINGS_SUFFIX = ".overrides"
"""``messages.csv.overrides`` beside ``messages.csv``: parts of the recipe for this file alone, one a line."""
SETTLED_S = 2.0
"""A file that was changed less than so long ago may still be written to."""
KEY_CHARACTERS = 16


class Seen(BaseModel):
    """What was seen of one file at the last look."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    mtime_ns: int
    digest: str | None = None
    """Of its content, once it was whole; it has then been announced."""


class Arrival(BaseModel):
    """A whole file that wasn't there, or had another content, at the last look."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    digest: str
    overrides: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Name and content: the same file with the same content is the same arrival."""
        return f"{self.path.name}-{self.digest[:KEY_CHARACTERS]}"


def look(
    folder: Path, before: Mapping[str, Seen], *, now: float | None = None
) -> tuple[list[Arrival], dict[str, Seen]]:
    """Look at a folder.

    Args:
        folder: Where files arrive; it may be empty or missing.
        before: What the last look saw, by name.
        now: Seconds since the epoch, for files that are still written to.

    Returns:
        The arrivals in the order of their names, and what this look saw.
    """
    moment = time.time() if now is None else now
    arrivals, seen = [], {}
    for path in _files(folder):
        facts = path.stat()
        last = before.get(path.name)
        present = Seen(size=facts.st_size, mtime_ns=facts.st_mtime_ns)
        if (
            last is not None
            and last.digest
            and (last.size, last.mtime_ns) == (present.size, present.mtime_ns)
        ):
            seen[path.name] = last
            continue
        seen[path.name] = present
        if last != present or not facts.st_size or moment - facts.st_mtime < SETTLED_S:
            continue
        digest = digest_file(path)
        if path.stat().st_mtime_ns != facts.st_mtime_ns:  # written to while it was read
            continue
        seen[path.name] = present.model_copy(update={"digest": digest})
        if last is None or last.digest != digest:
            arrivals.append(Arrival(path=path, digest=digest, overrides=overrides_of(path)))
    return arrivals, seen


def overrides_of(path: Path) -> tuple[str, ...]:
    """Read the overrides that lie beside a file."""
    beside = path.with_name(path.name + SETTINGS_SUFFIX)
    if not beside.is_file():
        return ()
    lines = (line.strip() for line in beside.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def set_aside(path: Path, folder: Path, reason: str) -> Path:
    """Move a file that can't be used, with what lies beside it, to a folder, and write down why.

    Returns:
        Where it lies now; a name that is taken there gets a number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = next(each for each in _names(folder / path.name) if not each.exists())
    path.rename(target)
    beside = path.with_name(path.name + SETTINGS_SUFFIX)
    if beside.is_file():
        beside.rename(target.with_name(target.name + SETTINGS_SUFFIX))
    write_json(target.with_name(target.name + ".reason.json"), {"file": path.name, "reason": reason})
    return target


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_file() and not UNFINISHED.search(path.name) and not path.name.endswith(SETTINGS_SUFFIX):
            yield path


def _names(path: Path) -> Iterator[Path]:
    yield path
    number = 1
    while True:
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")
        number += 1
