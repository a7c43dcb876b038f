"""Rows that were chosen to be labelled: a parquet file and the manifest that says how they were chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tunewright.data.dataset import Facts
from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError
from tunewright.support.files import read_json, write_json

ROWS = "selection.parquet"
MANIFEST = "manifest.json"
POINTER = ".dvc"


@dataclass(frozen=True, slots=True)
class SelectedRow:
    """One text that wants a label."""

    id: str
    """``row-`` and 16 hexadecimal digits that identify the text: no spreadsheet takes it for a number."""
    row: int
    source: str
    text: str
    suggested: str
    """The model's answer."""
    confidence: float
    score: float
    """Uncertainty, between 0 and 1."""
    strategy: str
    """Why it was chosen; ``random`` for the control share."""
    model: str
    version: int


class Histogram(Facts):
    """Rows by uncertainty."""

    edges: tuple[float, ...]
    pool: tuple[int, ...]
    chosen: tuple[int, ...]
    """The control share aside."""
    control: tuple[int, ...]


class SelectionManifest(Facts):
    """How rows were chosen; ``manifest.json`` holds it."""

    key: str
    """Identity of the request."""
    answers: str
    """The folder of answers that was the pool."""
    answers_digest: str
    data_digest: str
    """The data set whose texts were left out."""
    model: str
    version: int
    uri: str
    label_names: tuple[str, ...]
    strategy: str
    random_share: float
    seed: int
    pool: int
    """Rows answered."""
    left_out: dict[str, int]
    """Rows of the pool that could not be chosen, by reason."""
    rows: int
    control: int
    histogram: Histogram
    created: str
    digest: str
    """Identity of the rows, in order."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection on disk, opened."""

    folder: Path
    manifest: SelectionManifest
    rows: tuple[SelectedRow, ...]

    @classmethod
    def load(cls, path: Path) -> Selection:
        """Open the folder of a selection; a file in it, or the pointer that DVC keeps of it, stands for it.

        Raises:
            InputError: When it is none, or its rows are not those that were chosen.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder = path.parent if path.name in {ROWS, MANIFEST} else path
        if path.suffix == POINTER and path.is_file():
            folder = path.with_suffix("")
        facts = read_json(folder / MANIFEST, mend="run `tunewright sample` to make a selection")
        try:
            manifest = SelectionManifest.model_validate(facts)
            rows = tuple(SelectedRow(**entry) for entry in pq.read_table(folder / ROWS).to_pylist())
        except (ValueError, TypeError, OSError, pa.ArrowException) as error:
            raise InputError(
                f"is no selection that can be read ({str(error).splitlines()[0]})",
                place=str(folder),
                mend="run `tunewright sample --force` to make it again",
            ) from error
        if digest_rows(rows) != manifest.digest:
            raise InputError(
                "its rows are not those that were chosen",
                place=str(folder / ROWS),
                mend="run `tunewright sample --force` to make it again",
            )
        return cls(folder, manifest, rows)


def save_selection(folder: Path, manifest: SelectionManifest, rows: Sequence[SelectedRow]) -> None:
    """Write a selection into an existing folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"row": pa.int64(), "version": pa.int64(), "confidence": pa.float64(), "score": pa.float64()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in SelectedRow.__slots__])
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema), folder / ROWS)
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))


def digest_rows(rows: Sequence[SelectedRow]) -> str:
    """Identify rows, in their order."""
    return digest_json([[*asdict(row).values()] for row in rows])
