"""What the tests of reading share: bytes on disk in, rows and rejected rows out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tunewright.config.data import DataConfig
from tunewright.data.ingest import IngestSummary, ingest


@dataclass(frozen=True)
class Read:
    """Everything that ingest wrote."""

    summary: IngestSummary
    rows: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    folder: Path

    @property
    def texts(self) -> list[str | None]:
        return [row["text"] for row in self.rows]

    @property
    def labels(self) -> list[str | None]:
        return [row["label"] for row in self.rows]

    @property
    def notes(self) -> str:
        return "\n".join(self.summary.facts.notes)


def read_source(source: Path | str, out: Path, **options: Any) -> Read:
    """Ingest a source and read everything back."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    summary = ingest(DataConfig(source=str(source), **options), base_dir=out.parent, out=out)
    table = pa.concat_tables(pq.read_table(part) for part in sorted(out.glob("part-*.parquet")))
    rejected = (out / "rejected.jsonl").read_text(encoding="utf-8").split("\n")
    return Read(summary, table.to_pylist(), [json.loads(line) for line in rejected if line], out)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Read]:
    """Write bytes under a name and ingest them; a path or URL is ingested as it is."""

    def run(content: bytes | str | Path, name: str = "data.csv", **options: Any) -> Read:
        if isinstance(content, Path):
            return read_source(content, tmp_path / "out", **options)
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_source(path, tmp_path / "out", **options)

    return run


@pytest.fixture(scope="session")
def read_bytes(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Read]:
    """As ``read``, in a folder of its own for each call: for property-based tests."""
    numbers = itertools.count()
    root = tmp_path_factory.mktemp("bytes")

    def run(content: bytes, name: str, **options: Any) -> Read:
        folder = root / str(next(numbers))
        folder.mkdir()
        (folder / name).write_bytes(content)
        return read_source(folder / name, folder / "out", **options)

    return run
