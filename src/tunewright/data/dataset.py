"""The versioned data set: parquet splits and the manifest that says what they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from tunewright.support.errors import InputError
from tunewright.support.files import read_json

if TYPE_CHECKING:
    import pandas as pd

    from tunewright.data.chat.rows import ChatRow

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
MANIFEST = "manifest.json"


class Facts(BaseModel):
    """Frozen facts that are written to JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceFacts(Facts):
    """How a source was read, detected or told."""

    uri: str
    format: str
    encoding: str | None = None
    delimiter: str | None = None
    quoting: str | None = None
    header: bool | None = None
    text_column: str
    """Empty where rows are a language model's, which no single column holds."""
    label_column: str | None
    """None where the source holds texts to be answered, or rows of a language model, and no labels."""
    chat_format: str | None = Field(None, exclude_if=lambda name: name is None)
    """Format of a language model's rows; None, and not written, where rows are texts with labels."""
    files: dict[str, int] = {}
    """Rows by file."""
    notes: tuple[str, ...] = ()
    """What was odd about the source, one sentence each."""


class Manifest(Facts):
    """What ``manifest.json`` holds; ``tunewright data show --json`` prints it."""

    version: int = 1
    source: SourceFacts
    rows: int
    """Rows of the source, those that could not be parsed included."""
    unique: int
    """Distinct texts as they were read, before cleaning."""
    labels: dict[str, int]
    """Rows read, by label name."""
    label_names: tuple[str, ...]
    """The label map: position is the class id."""
    quarantined: dict[str, int]
    """Rows set aside, by reason."""
    splits: dict[str, int]
    """Rows by split."""
    split_labels: dict[str, dict[str, int]]
    """Rows by split and label."""
    split_digests: dict[str, str]
    """Digest of each split's rows (text and label, and of a language model the row itself, in order)."""
    digest: str
    """Identity of the data set: over label map and split digests."""
    split_by: str
    seed: int
    leaks: dict[str, int]
    """Proof that nothing stands on both sides: counts of ``normalised_text`` and ``near_duplicate``, and of a language
    model's rows of ``prompt``."""
    cleaning: dict[str, int]
    """Rows that each cleaning step changed."""
    flags: dict[str, int]
    """Rows flagged and kept, by kind (secret, personal_data:email, length_outlier, language_outlier …)."""
    quality: dict[str, float]
    """Figures such as near_duplicate_rows, imbalance (largest class over smallest), mean_characters."""
    columns: dict[str, str]
    """Parquet schema: column → type."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows of one split, ready for a model; lists run in parallel."""

    ids: tuple[int, ...]
    """Row number in the source, counted from 1."""
    texts: tuple[str, ...]
    labels: tuple[int, ...]
    """Class ids: positions in ``Manifest.label_names``."""
    sources: tuple[str, ...]
    """File each row came from."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.texts)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A folder of parquet shards (``train/*.parquet`` …) beside their manifest.

    Shard columns: ``row`` (int64), ``source``, ``text``, ``label`` (strings), ``group`` (int64: the
    cluster that was kept together), then any further columns of the source. Rows of a language model have their kind
    as the label, what they say as the text, and stand whole, as JSON, in the column ``conversation``.
    """

    root: Path
    manifest: Manifest

    @classmethod
    def load(cls, root: Path) -> Dataset:
        """Open a data set that the split step wrote.

        Raises:
            InputError: When there is none, or its manifest isn't ours.
        """
        facts = read_json(root / MANIFEST)
        try:
            return cls(root, Manifest.model_validate(facts))
        except ValueError as error:
            raise InputError(
                f"is not a data manifest of this version ({error})", place=str(root / MANIFEST)
            ) from error

    @property
    def label_names(self) -> tuple[str, ...]:
        """Label names; the position is the class id. Of a language model's rows, the kinds that there are."""
        return self.manifest.label_names

    @property
    def holds_conversations(self) -> bool:
        """Whether its rows are a language model's; else they are texts with labels."""
        return self.manifest.source.chat_format is not None

    def frame(self, split: SplitName) -> pd.DataFrame:
        """Return one split as a pandas frame with all its columns.

        Raises:
            InputError: When a shard is missing or damaged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        shards = sorted((self.root / split).glob("*.parquet"))
        if not shards:
            raise InputError(
                "has no parquet shard", place=str(self.root / split), mend="run `tunewright run --from split`"
            )
        try:
            frame: pd.DataFrame = pa.concat_tables(pq.read_table(shard) for shard in shards).to_pandas()
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(
                f"can't be read ({str(error).splitlines()[0]})",
                place=str(self.root / split),
                mend="run `tunewright run --from split --force`",
            ) from error
        return frame

    def examples(self, split: SplitName) -> Examples:
        """Return one split as parallel lists of texts and class ids."""
        frame = self.frame(split)
        ids = {name: position for position, name in enumerate(self.label_names)}
        return Examples(
            ids=tuple(int(value) for value in frame["row"]),
            texts=tuple(frame["text"]),
            labels=tuple(ids[name] for name in frame["label"]),
            sources=tuple(frame["source"]),
        )

    def conversations(self, split: SplitName) -> tuple[ChatRow, ...]:
        """Return one split of a language model's rows; each has the number and the file that its columns say.

        Raises:
            InputError: When the data set holds texts with labels, or a shard is missing or damaged.
        """
        from tunewright.data.chat.stored import rows_in

        if not self.holds_conversations:
            raise InputError(
                "holds texts with labels, and no rows of a language model",
                place=str(self.root),
                mend="set training.objective, such as `tunewright run data=chat training=sft`",
            )
        return tuple(rows_in(self.root / split))
