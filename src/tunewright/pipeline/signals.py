"""Ask for a job from outside: a file a signal in ``.tunewright/signals``, which Dagster's sensor picks up.

Whatever watches a model (drift, an alert, a colleague's script) calls ``raise_signal``; it needs no Dagster.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from tunewright.support.errors import TunewrightError
from tunewright.support.files import read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from tunewright.support.paths import ProjectPaths


class Signal(BaseModel):
    """A wish for one run of a job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    job: str
    """Name of a job of ``tunewright.pipeline.dagster``."""
    reason: str
    """Why, in a few words: it becomes a tag of the run."""
    config: dict[str, Any] = {}
    """The run's configuration, in Dagster's form."""


def raise_signal(
    paths: ProjectPaths, *, job: str, reason: str, config: dict[str, Any] | None = None
) -> Signal:
    """Ask for one run of a job; a running daemon starts it within the sensor's interval."""
    now = datetime.now(timezone.utc)
    signal = Signal(
        id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}", job=job, reason=reason, config=config or {}
    )
    write_json(_folder(paths) / f"{signal.id}.json", signal.model_dump(mode="json"))
    return signal


def pending(paths: ProjectPaths) -> dict[str, Signal | None]:
    """List the signals by id, oldest first; ``None`` stands for a damaged one, which must not hold up the others."""
    return {path.stem: _read(path) for path in sorted(_folder(paths).glob("*.json"))}


def _read(path: Path) -> Signal | None:
    try:
        return Signal.model_validate(read_json(path))
    except (ValueError, TunewrightError):
        return None


def _folder(paths: ProjectPaths) -> Path:
    return paths.state / "signals"
