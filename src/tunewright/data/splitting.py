"""Splitting: frozen train, validation and test rows, and the proof that nothing stands on both sides."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.data.allocation import TEST, TRAIN, allocate
from tunewright.data.chat.stored import CONVERSATION, holds_conversations
from tunewright.data.dataset import MANIFEST, SPLITS, Dataset, Manifest, SourceFacts
from tunewright.data.parts import PartWriter, read_parts, writing_parts
from tunewright.data.rules import first_of
from tunewright.data.split_rows import NEAR_DUPLICATE, OWN_COLUMNS, PROMPT, SplitRows
from tunewright.data.validation import VALIDATION, ValidationSummary
from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import read_json, write_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from tunewright.config.data import DataConfig
    from tunewright.data.frozen import FrozenRows

    Integers = npt.NDArray[np.int64]

FEWEST_GROUPS = 3
"""One for each split."""


def split(
    source: Path, config: DataConfig, *, seed: int, out: Path, frozen: FrozenRows | None = None
) -> Dataset:
    """Split validated rows and write the versioned data set.

    Args:
        source: Good rows that validation wrote.
        config: ``split_by`` and the shares.
        seed: Another seed gives another split.
        out: The data set's folder; replaced as a whole, or not at all.
        frozen: Where rows of an earlier data set stood; they stay there.

    Returns:
        The data set, opened.

    Raises:
        InputError: When the column is unknown, the shares leave no train rows, or a label can't stand in
            every split; of a language model's rows, when fewer than three groups are independent.
        TunewrightError: When the leak check finds something on both sides.
    """
    import numpy as np

    if config.test_share + config.validation_share >= 1:
        raise InputError(
            f"test_share {config.test_share:g} and validation_share {config.validation_share:g}"
            " leave nothing to train on",
            place="data",
            mend="lower one of them",
        )
    rows = SplitRows(source, config.split_by)
    groups = rows.kept_together(config.split_by)
    if rows.prompt is not None:
        _refuse_few_groups(groups, config.split_by)
    # Kinds of a language model's rows are no classes, of which each split must have some.
    labels, names = rows.label, rows.label_names
    if rows.prompt is not None:
        labels, names = np.zeros_like(labels), ("any",)
    sides = allocate(
        groups,
        labels,
        rows.identity(),
        label_names=names,
        test_share=config.test_share,
        validation_share=config.validation_share,
        seed=seed,
        frozen=None if frozen is None else frozen.sides(rows.key),
    )
    leaks = {
        "normalised_text": leaked(rows.key, sides),
        NEAR_DUPLICATE: leaked(rows.group, sides),
    }
    if rows.prompt is not None:
        leaks[PROMPT] = leaked(rows.prompt, sides)
    _refuse_leaks(leaks, config.split_by)
    first_rows = rows.row[first_of(groups)]
    with writing_parts(out) as folder:
        digests, columns = _write_splits(source, sides, first_rows, config.shard_rows, folder)
        manifest = _manifest(source, rows, sides, leaks, digests, columns, config.split_by, seed)
        write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
        shutil.copyfile(source / VALIDATION, folder / VALIDATION)
    return Dataset.load(out)


def leaked(values: Integers, sides: npt.NDArray[np.int8]) -> int:
    """Count the values that stand in more than one split.

    Args:
        values: What must stay together, shape (n,).
        sides: The split of each row, shape (n,).

    Returns:
        Distinct values on more than one side.
    """
    import numpy as np

    _, inverse = np.unique(values, return_inverse=True)
    pairs = np.unique(np.stack([inverse, sides.astype(np.int64)], axis=1), axis=0)
    return int((np.bincount(pairs[:, 0]) > 1).sum())


def _refuse_few_groups(groups: Integers, split_by: str) -> None:
    """Stop when a language model's rows hang together so much that they can't stand in three splits.

    Raises:
        InputError: Saying how many groups there are.
    """
    import numpy as np

    found = len(np.unique(groups))
    if found < FEWEST_GROUPS:
        why = "near-duplicates and rows with the same prompt stay on one side"
        raise InputError(
            f"{len(groups):,} rows make {found} independent group{'s' * (found != 1)}, and three splits need three"
            + (f": {why}" if split_by == NEAR_DUPLICATE else ""),
            place="data.split_by",
            mend="add rows that ask something else, or set data.split_by=text",
        )


def _refuse_leaks(leaks: dict[str, int], split_by: str) -> None:
    """Stop when something stands on both sides that must not.

    Raises:
        TunewrightError: Saying what and how often.
    """
    forbidden = (
        ("normalised_text", NEAR_DUPLICATE, PROMPT) if split_by == NEAR_DUPLICATE else ("normalised_text",)
    )
    for kind in forbidden:
        if leaks.get(kind):
            raise TunewrightError(
                f"{leaks[kind]:,} values of {kind} stand in more than one split",
                place="data.split_by",
                mend="run `tunewright run --from validate --force`; if it comes back, report it",
            )


def _write_splits(
    source: Path, sides: npt.NDArray[np.int8], groups: Integers, shard_rows: int, folder: Path
) -> tuple[dict[str, str], dict[str, str]]:
    """Write the shards of each split; return the digest of each split and the type of each column."""
    import pyarrow as pa

    writers = [PartWriter(folder / name, rows=shard_rows) for name in SPLITS]
    states = [hashlib.sha256() for _ in SPLITS]
    columns: dict[str, str] = {}
    start = 0
    identity = _identity(conversations=holds_conversations(source))
    for whole in read_parts(source):
        span = slice(start, start + whole.num_rows)
        start += whole.num_rows
        table = _arranged(whole, pa.array(groups[span], pa.int64()))
        columns = {field.name: str(field.type) for field in table.schema}
        for side, (writer, state) in enumerate(zip(writers, states, strict=True)):
            part = table.filter(pa.array(sides[span] == side))
            writer.add(part)
            _digest_rows(part, identity, state)
    for writer in writers:
        writer.close()
    return {name: state.hexdigest() for name, state in zip(SPLITS, states, strict=True)}, columns


def digest_of_rows(dataset: Dataset) -> str:
    """Compute a data set's digest from its rows, to hold against the one in its manifest."""
    import pyarrow.parquet as pq

    digests: dict[str, str] = {}
    identity = _identity(conversations=dataset.holds_conversations)
    for name in SPLITS:
        state = hashlib.sha256()
        for shard in sorted((dataset.root / name).glob("*.parquet")):
            _digest_rows(pq.read_table(shard, columns=list(identity)), identity, state)
        digests[name] = state.hexdigest()
    return _digest(dataset.label_names, digests)


def _identity(*, conversations: bool) -> tuple[str, ...]:
    """Return the columns that a row's identity is made of: two rows may say the same, and be of other roles."""
    return ("text", "label", CONVERSATION) if conversations else ("text", "label")


def _digest_rows(rows: pa.Table, identity: tuple[str, ...], state: hashlib._Hash) -> None:
    """Take what rows are into a split's digest."""
    for cells in zip(*(rows.column(name).to_pylist() for name in identity), strict=True):
        state.update(json.dumps(cells, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")


def _digest(label_names: tuple[str, ...], digests: dict[str, str]) -> str:
    """Make the data set's identity from its label map and its splits."""
    return digest_json({"label_names": label_names, "splits": digests})


def _arranged(table: pa.Table, groups: pa.Array) -> pa.Table:
    """Return a table with our columns first, then the source's own."""
    further = [name for name in table.column_names if name not in {*OWN_COLUMNS, "text_group", "digest"}]
    kept = table.drop_columns(["group"]).append_column("group", groups)
    return kept.select([*OWN_COLUMNS, *further])


def _manifest(
    source: Path,
    rows: SplitRows,
    sides: npt.NDArray[np.int8],
    leaks: dict[str, int],
    digests: dict[str, str],
    columns: dict[str, str],
    split_by: str,
    seed: int,
) -> Manifest:
    """Gather what is known about the data set."""
    import numpy as np

    read: dict[str, Any] = read_json(source / "source.json")
    cleaned = source / "cleaning.json"
    summary = ValidationSummary.model_validate(read_json(source / VALIDATION))
    in_train = np.isin(rows.group[sides == TEST], rows.group[sides == TRAIN])
    return Manifest(
        source=SourceFacts.model_validate(read["facts"]),
        rows=read["rows"] + sum(read["rejected"].values()),
        unique=read["unique"],
        labels=read["labels"],
        label_names=rows.label_names,
        quarantined=summary.quarantined,
        splits={name: int((sides == side).sum()) for side, name in enumerate(SPLITS)},
        split_labels={
            name: {
                label: int(((sides == side) & (rows.label == code)).sum())
                for code, label in enumerate(rows.label_names)
            }
            for side, name in enumerate(SPLITS)
        },
        split_digests=digests,
        digest=_digest(rows.label_names, digests),
        split_by=split_by,
        seed=seed,
        leaks=leaks,
        cleaning=read_json(cleaned) if cleaned.exists() else {},
        flags=summary.flags,
        quality={
            **summary.quality,
            "test_share_near_train": round(float(in_train.mean()), 6),
        },
        columns=columns,
    )
