"""The rows of a source of whatever format; those that are none are counted, with the first reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.data.chat.opening import Opened
    from tunewright.data.chat.rows import ChatRow


@dataclass(slots=True)
class ReadRows:
    """Internal rows, read once from the source; what was refused is known when the last has been taken."""

    opened: Opened
    set_aside: Counter[str] = field(default_factory=Counter)
    """Rows that the format refuses, by reason."""

    def __iter__(self) -> Iterator[ChatRow]:
        """Give the rows.

        Raises:
            InputError: When the source can't be read to its end, or none of its rows can be used.
        """
        first, given = "it is empty", 0
        for taken in self.opened.rows():
            if taken.refused is not None:
                if not self.set_aside:
                    first = f"row {taken.at.row}: {taken.refused.reason}: {taken.refused.detail}"
                self.set_aside[taken.refused.reason] += 1
            given += len(taken.rows)
            yield from taken.rows
        if not given:
            raise InputError(
                f"none of its {self.set_aside.total():,} rows can be used ({first})",
                place=self.opened.source.uri,
                mend="check the file, or name its format with --from",
            )
