"""What became of another tool's configuration: a finding for each key, and the recipe they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["taken", "default", "not_needed", "unsupported", "unknown"]
OUTCOMES: Mapping[Outcome, str] = {
    "taken": "set in the recipe",
    "default": "the recipe is so already",
    "not_needed": "tunewright sees to it itself",
    "unsupported": "has no counterpart: see what to do",
    "unknown": "not a key that we know of this tool",
}
"""Every outcome, in the order in which a person wants to read them, and what it means."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One key of the file, and what became of it."""

    key: str
    """Its place in the file, such as ``datasets[0].path``; names that are no plain words stand in quotes."""
    outcome: Outcome
    sets: Mapping[str, Any] = field(default_factory=dict)
    """Dotted keys of the recipe and the values that this key gives them."""
    note: str = ""
    """Why, or what to do, in one clause."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """A default of the other tool that holds because the file says nothing, and that differs from ours."""

    key: str
    """The other tool's key that the file doesn't have."""
    target: str
    """Dotted key of the recipe."""
    value: Any
    note: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """A recipe made from another tool's configuration."""

    tool: str
    """The tool's name, as people write it."""
    file: Path
    groups: Mapping[str, str]
    """The option of each group that the recipe starts from."""
    values: Mapping[str, Any]
    """Dotted keys that differ from those groups, in the schema's order."""
    findings: tuple[Finding, ...]
    """One for each key of the file, in the file's order."""
    assumptions: tuple[Assumption, ...]
    notes: tuple[str, ...]
    """What differs between the tools whatever the file says."""

    def counts(self) -> dict[Outcome, int]:
        """Count the keys by what became of them."""
        return {outcome: sum(each.outcome == outcome for each in self.findings) for outcome in OUTCOMES}
