"""Open a source of conversations, completions, preferences or plain text, in whatever format it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.data.chat.detecting import DETECTION_ROWS, detect_format
from tunewright.data.chat.formats import Format, format_named
from tunewright.data.chat.reading import ChatSource, SourceRow, open_source
from tunewright.data.chat.refusals import Refused, RowError
from tunewright.data.chat.targets import with_system
from tunewright.data.rows import Malformed

if TYPE_CHECKING:
    from tunewright.config.data import DataConfig
    from tunewright.data.chat.rows import ChatRow

OPTION = "--from {}"
"""How a format is named on the command line."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one row of a source: internal rows, or a refusal."""

    at: SourceRow
    rows: tuple[ChatRow, ...] = ()
    refused: Refused | None = None
    unused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Opened:
    """A source with the format of its rows."""

    source: ChatSource
    format: Format
    why: str

    def rows(self, *, system: str | None = None, strict: bool = False) -> Iterator[Taken]:
        """Give what becomes of each row.

        Args:
            system: A system prompt for conversations that have none.
            strict: Whether a field that the format doesn't know refuses the row.

        Raises:
            InputError: When a file can't be read to its end.
        """
        for at in self.source.rows():
            yield self._taken(at, system, strict=strict)

    def _taken(self, at: SourceRow, system: str | None, *, strict: bool) -> Taken:
        if isinstance(at.value, Malformed):
            return Taken(at, refused=Refused(at.value.reason, at.value.detail))
        found = self.format.convert(at.value, row=at.row, source=at.source, strict=strict)
        if isinstance(found, Refused):
            return Taken(at, refused=found)
        try:
            rows = tuple(with_system(row, system) for row in found.rows) if system else found.rows
        except RowError as error:
            return Taken(at, refused=Refused(error.reason, error.detail))
        return Taken(at, rows, unused=found.unused)


def open_chat(
    config: DataConfig, *, base_dir: Path, format_name: str | None = None, option: str = OPTION
) -> Opened:
    """Open a source of conversations, completions, preferences or plain text.

    Args:
        config: The source (a file, a folder, a pattern, or a URL that fsspec knows), and what is told about its files.
        base_dir: The folder that relative paths start from.
        format_name: The format of its rows; by default it is detected from the first ones.
        option: How the user names a format where they are, for messages; ``{}`` stands for the name.

    Raises:
        InputError: When it can't be found or read, or its format is not clear.
    """
    named = None if format_name is None else format_named(format_name, option=option)
    found = open_source(config, base_dir=base_dir)
    if named is not None:
        return Opened(found, named, f"named with {option.format('').strip(' =')}")
    detected = detect_format(found.first(DETECTION_ROWS), place=found.uri, option=option)
    return Opened(found, detected.format, detected.why)
