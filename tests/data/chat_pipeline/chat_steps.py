"""Take a language model's rows through the four data steps, in folders that a test can look into."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.config.data import Cleaning, DataConfig, Validation
from tunewright.data.chat.ingesting import ingest_chat
from tunewright.data.cleaning import clean
from tunewright.data.dataset import SPLITS, Dataset
from tunewright.data.splitting import split
from tunewright.data.validation import ValidationSummary, validate

if TYPE_CHECKING:
    from tunewright.data.chat.rows import ChatRow
    from tunewright.data.ingest import IngestSummary

UNCLEANED = {"unicode_nfc": False, "control_characters": False}
WORDS = (
    "harbour",
    "lantern",
    "violin",
    "glacier",
    "orchard",
    "saddle",
    "copper",
    "meadow",
    "anchor",
    "pepper",
)


@dataclass(frozen=True)
class Through:
    """What the steps gave."""

    read: IngestSummary
    judged: ValidationSummary
    data: Dataset
    folder: Path

    @property
    def quarantine(self) -> list[dict[str, Any]]:
        lines = (self.folder / "quarantine.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def rows(self) -> list[ChatRow]:
        """Every row of every split, by number."""
        return sorted(
            (row for name in SPLITS for row in self.data.conversations(name)), key=lambda row: row.row
        )


def config_of(source: Path, **settings: Any) -> DataConfig:
    """Return the settings of ``data=chat`` with others; ``cleaning`` and ``validation`` are changed, not replaced."""
    cleaning = Cleaning(**{"html_entities": False, "whitespace": False, **settings.pop("cleaning", {})})
    validation = Validation(
        **{"conflicts": "keep", "max_characters": 1_000_000, **settings.pop("validation", {})}
    )
    return DataConfig(source=str(source), cleaning=cleaning, validation=validation, **settings)


def through(source: Path, folder: Path, **settings: Any) -> Through:
    """Take a source through ingest, clean, validate and split."""
    config = config_of(source, **settings)
    read = ingest_chat(config, base_dir=folder, out=folder / "rows")
    clean(folder / "rows", config.cleaning, out=folder / "clean")
    quarantine = folder / "quarantine.jsonl"
    judged = validate(folder / "clean", config.validation, out=folder / "valid", quarantine=quarantine)
    return Through(read, judged, split(folder / "valid", config, seed=1, out=folder / "data"), folder)


def write_lines(path: Path, rows: Iterable[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def asked(question: str, answer: str, *, system: str = "") -> dict[str, Any]:
    """Return a row of messages."""
    before = [{"role": "system", "content": system}] if system else []
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": [*before, *turns]}


def varied(count: int) -> list[dict[str, Any]]:
    """Return rows that ask different things, and aren't near-duplicates of each other."""
    return [
        asked(
            f"{WORDS[at % 10]} {at * 7919} {WORDS[at // 10 % 10]}?",
            f"{WORDS[at * 3 % 10]} {at * 104729} {WORDS[at * 7 % 10]}.",
        )
        for at in range(count)
    ]
