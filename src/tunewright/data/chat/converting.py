"""A source of conversations in one format becomes a file in another; rows that can't are set aside with a reason."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tunewright.data.chat.opening import Taken, open_chat
from tunewright.data.chat.refusals import Refused, RowError
from tunewright.data.chat.storing import Writer, check_suffix, storing
from tunewright.data.chat.targets import WRITERS
from tunewright.data.rows import Malformed
from tunewright.support.errors import InputError, nearest
from tunewright.support.files import writing

if TYPE_CHECKING:
    from tunewright.config.data import DataConfig
    from tunewright.data.chat.reading import ChatSource, SourceRow


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion did."""

    file: Path | None
    """The file that was written; none when no row could be converted."""
    refused_file: Path | None
    """The file with the refused rows; none when there are none."""
    source_format: str
    why: str
    """Why the source is taken for that format."""
    target: str
    read: int
    """Rows of the source."""
    converted: int
    """Rows of the source that were converted."""
    written: int
    """Rows of the new file; more than ``converted`` where one row gives several."""
    refused: dict[str, int]
    """Rows by reason, commonest first."""
    unused: dict[str, int]
    """Fields of converted rows that the new file doesn't hold, with the number of rows that have them."""
    notes: tuple[str, ...]


def convert(
    config: DataConfig,
    out: Path,
    *,
    to: str,
    base_dir: Path,
    format_name: str | None = None,
    system: str | None = None,
    refused: Path | None = None,
    strict: bool = False,
    force: bool = False,
) -> Conversion:
    """Write the rows of a source in another format.

    Args:
        config: The source (a file, a folder, a pattern, or a URL that fsspec knows), and what is told about its files.
        out: The file to write; its ending says how: .jsonl, .json or .parquet.
        to: The format to write, one of ``WRITERS``.
        base_dir: The folder that a relative source starts from.
        format_name: The format of the source; by default it is detected.
        system: A system prompt for conversations that have none.
        refused: The JSON Lines file for rows that can't be converted; by default it is named after ``out``.
        strict: Whether a field that the format doesn't know refuses the row.
        force: Whether files that exist are replaced.

    Raises:
        InputError: When the source can't be read, its format is not clear, or a file exists already.
    """
    if to not in WRITERS:
        mend = nearest(to, list(WRITERS)) or f"give one of {', '.join(WRITERS)}"
        raise InputError(f"there is no format '{to}' to write", place="--to", mend=mend)
    check_suffix(out)
    aside = refused or out.with_name(f"{out.stem}.refused.jsonl")
    opened = open_chat(config, base_dir=base_dir, format_name=format_name)
    _check_places(opened.source, out, aside, force=force)
    with ExitStack() as stack:
        files = _Files(stack, out, aside, to)
        for taken in opened.rows(system=system, strict=strict):
            files.add(taken)
    if force and not files.refused:
        aside.unlink(missing_ok=True)  # an earlier conversion's, which says nothing true any more
    return Conversion(
        file=out if files.converted else None,
        refused_file=aside if files.refused else None,
        source_format=opened.format.name,
        why=opened.why,
        target=to,
        read=files.converted + files.refused.total(),
        converted=files.converted,
        written=files.written,
        refused=dict(files.refused.most_common()),
        unused=dict(sorted(files.unused.items())),
        notes=opened.source.notes,
    )


class _Files:
    """The two files of a conversion; each is begun with its first row, and is whole when the stack ends well."""

    def __init__(self, stack: ExitStack, out: Path, aside: Path, to: str) -> None:
        self._stack = stack
        self._out, self._aside, self._to = out, aside, to
        self._good: Writer | None = None
        self._bad: BinaryIO | None = None
        self.converted = 0
        self.refused: Counter[str] = Counter()
        self.unused: Counter[str] = Counter()

    @property
    def written(self) -> int:
        """Rows of the new file."""
        return self._good.rows if self._good else 0

    def add(self, taken: Taken) -> None:
        """Write a row into the file where it belongs."""
        why, made = taken.refused, []
        try:
            made = [each for row in taken.rows for each in WRITERS[self._to](row)]
        except RowError as error:
            why = Refused(error.reason, error.detail)
        if why is not None:
            self._set_aside(taken.at, why)
            return
        if self._good is None:
            self._good = self._stack.enter_context(storing(self._out, self._to))
        for each in made:
            self._good.write(each)
        self.converted += 1
        self.unused.update(taken.unused)

    def _set_aside(self, at: SourceRow, why: Refused) -> None:
        if self._bad is None:
            temporary = self._stack.enter_context(writing(self._aside))
            self._bad = self._stack.enter_context(temporary.open("wb"))
        self._bad.write(_refused_line(at, why))
        self.refused[why.reason] += 1


def _refused_line(at: SourceRow, why: Refused) -> bytes:
    """Return a refused row as a line of JSON; half a surrogate pair, which UTF-8 can't write, as JSON's escape."""
    raw = at.value.text if isinstance(at.value, Malformed) else at.value
    facts = {"row": at.row, "source": at.source, "reason": why.reason, "detail": why.detail}
    try:
        line = json.dumps({**facts, "raw": raw}, ensure_ascii=False, default=str)
    except RecursionError:
        line = json.dumps({**facts, "raw": None}, ensure_ascii=False)
    return line.encode("utf-8", "backslashreplace") + b"\n"


def _check_places(source: ChatSource, out: Path, aside: Path, *, force: bool) -> None:
    """Refuse to write over the source, or without being told over anything else."""
    read = {Path(file.path).resolve() for file, _ in source.files if file.filesystem is None}
    for path in (out, aside):
        if path.is_dir():
            raise InputError("is a folder", place=str(path), mend="give the name of a file")
        if path.resolve() in read:
            raise InputError("is the source itself", place=str(path), mend="give another name")
        if path.exists() and not force:
            raise InputError("exists already", place=str(path), mend="give another name, or add --force")
    if out.resolve() == aside.resolve():
        raise InputError("is also the file to write", place=f"--refused {aside}", mend="give another name")
