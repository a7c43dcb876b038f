"""The ledger: every registration, promotion, rollback and deletion, one JSON line each, only ever appended."""

from __future__ import annotations

import getpass
import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tunewright.support.errors import TunewrightError
from tunewright.support.files import append_line

Action = Literal["register", "promote", "rollback", "delete", "purge"]
Phase = Literal["intent", "done", "abandoned"]


class Entry(BaseModel):
    """One line of the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: str
    """Joins an intent with its end."""
    at: str
    """UTC, ISO 8601."""
    who: str
    action: Action
    phase: Phase
    """An action that moves an alias is announced first, so that a kill between the two can be told."""
    model: str
    version: int | None = None
    from_version: int | None = Field(None, alias="from")
    to_version: int | None = Field(None, alias="to")
    verdict: str | None = None
    """Digest of the gate's verdict."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger file of a project."""

    path: Path

    def add(
        self,
        action: Action,
        *,
        model: str,
        phase: Phase = "done",
        entry_id: str = "",
        version: int | None = None,
        from_version: int | None = None,
        to_version: int | None = None,
        verdict: str | None = None,
        reason: str = "",
        who: str = "",
    ) -> Entry:
        """Append one line, durably, and return it."""
        entry = Entry(
            id=entry_id or secrets.token_hex(8),
            at=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            who=who or _user(),
            action=action,
            phase=phase,
            model=model,
            version=version,
            from_version=from_version,
            to_version=to_version,
            verdict=verdict,
            reason=reason,
        )
        self._append(entry)
        return entry

    def finish(self, intent: Entry, phase: Literal["done", "abandoned"]) -> Entry:
        """Append the end of an announced action."""
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        entry = intent.model_copy(update={"phase": phase, "at": at})
        self._append(entry)
        return entry

    def entries(self, model: str | None = None) -> list[Entry]:
        """Read the ledger, oldest first.

        Args:
            model: Only this model's lines.

        Raises:
            TunewrightError: When a line isn't an entry (a torn last line, left by a full disk, is passed over).
        """
        try:
            lines = self.path.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return []
        found: list[Entry] = []
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            try:
                found.append(Entry.model_validate(json.loads(line)))
            except ValueError as error:
                if number == len(lines):
                    break
                raise TunewrightError(
                    f"line {number} is damaged",
                    place=str(self.path),
                    mend="restore the file from git or a backup",
                ) from error
        return [entry for entry in found if model in (None, entry.model)]

    def pending(self, model: str) -> list[Entry]:
        """List the announced actions that never ended."""
        entries = self.entries(model)
        ended = {entry.id for entry in entries if entry.phase != "intent"}
        return [entry for entry in entries if entry.phase == "intent" and entry.id not in ended]

    def champions(self, model: str) -> list[int]:
        """Replay promotions and rollbacks.

        Returns:
            The champions before the present one and the present one, in the order in which rollbacks undo them.
        """
        stack: list[int] = []
        for entry in self.entries(model):
            if entry.phase != "done" or entry.to_version is None:
                continue
            if entry.action == "promote":
                if entry.from_version is not None and stack[-1:] != [entry.from_version]:
                    stack.append(entry.from_version)
                stack.append(entry.to_version)
            elif entry.action == "rollback":
                while stack and stack[-1] != entry.to_version:
                    stack.pop()
                stack = stack or [entry.to_version]
        return stack

    def _append(self, entry: Entry) -> None:
        append_line(self.path, json.dumps(entry.model_dump(mode="json", by_alias=True), ensure_ascii=False))


def _user() -> str:
    """Return the user's name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
