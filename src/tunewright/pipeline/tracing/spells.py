"""How a row stood over time: data versions in which nothing changed for it are one spell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunewright.pipeline.tracing.facts import Holding, RowTrace, SetAside


@dataclass(frozen=True, slots=True)
class Moment:
    """How the row stood in one data version."""

    commit: str | None
    when: str
    digest: str
    is_current: bool
    holdings: tuple[Holding, ...]
    set_aside: tuple[SetAside, ...]

    @property
    def labels(self) -> str:
        """The labels with which a model could learn it; empty where it was only set aside."""
        return ", ".join(sorted({each.label for each in self.holdings}))

    @property
    def state(self) -> tuple[object, ...]:
        """What is the same in all versions of a spell."""
        return (
            sorted((each.split, each.label, each.source) for each in self.holdings),
            sorted((each.reason, each.label or "", each.source) for each in self.set_aside),
        )


def moments(trace: RowTrace) -> list[Moment]:
    """List the data versions that know the row, oldest first."""
    held = {version: tuple(rows) for version, rows in groupby(trace.data, key=_version)}
    aside = {version: tuple(rows) for version, rows in groupby(trace.quarantined, key=_version)}
    found = [
        Moment(*version, held.get(version, ()), aside.get(version, ()))
        for version in dict.fromkeys((*held, *aside))
    ]
    return sorted(found, key=_time)


def spells(trace: RowTrace) -> list[tuple[Moment, ...]]:
    """List the spells of a row, oldest first."""
    return [tuple(spell) for _, spell in groupby(moments(trace), key=lambda each: each.state)]


def _version(row: Holding | SetAside) -> tuple[str | None, str, str, bool]:
    return row.commit, row.when, row.digest, row.current


def _time(moment: Moment) -> float:
    """Order by time; what isn't committed is the newest."""
    return datetime.fromisoformat(moment.when).timestamp() if moment.when else math.inf
