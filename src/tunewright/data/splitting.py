"""Splitting: frozen train, validation and test rows, and the proof that nothing stands on both sides."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.data.allocation import TEST, TRAIN, allocate
from tunewright.data.dataset import MANIFEST, SPLITS, Dataset, Manifest, SourceFacts
from tunewright.data.normal_form import hash64, key_form
from tunewright.data.parts import PartWriter, read_parts, writing_parts
from tunewright.data.rules import first_of
from tunewright.data.validation import VALIDATION, ValidationSummary
from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError, TunewrightError, nearest
from tunewright.support.files import read_json, write_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from tunewright.config.schema import DataConfig
    from tunewright.data.frozen import FrozenRows

    Integers = npt.NDArray[np.int64]

NEAR_DUPLICATE = "near_duplicate"
TEXT = "text"
OWN_COLUMNS = ("row", "source", "text", "label", "group")
_INTERNAL = frozenset({*OWN_COLUMNS, "text_group", "digest"}) - {"source"}


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
            every split.
        TunewrightError: When the leak check finds something on both sides.
    """
    if config.test_share + config.validation_share >= 1:
        raise InputError(
            f"test_share {config.test_share:g} and validation_share {config.validation_share:g}"
            " leave nothing to train on",
            place="data",
            mend="lower one of them",
        )
    rows = _Rows(source, config.split_by)
    groups = rows.kept_together(config.split_by)
    sides = allocate(
        groups,
        rows.label,
        rows.identity(),
        label_names=rows.label_names,
        test_share=config.test_share,
        validation_share=config.validation_share,
        seed=seed,
        frozen=None if frozen is None else frozen.sides(rows.key),
    )
    leaks = {
        "normalised_text": leaked(rows.key, sides),
        NEAR_DUPLICATE: leaked(rows.group, sides),
    }
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


class _Rows:
    """A few numbers of every validated row, in source order."""

    def __init__(self, source: Path, split_by: str) -> None:
        import numpy as np

        rows: list[Integers] = []
        groups: list[Integers] = []
        text_groups: list[Integers] = []
        keys: list[int] = []
        labels: list[str] = []
        values: list[int] = []
        for table in read_parts(source):
            _check_column(split_by, table.column_names)
            rows.append(table.column("row").to_numpy())
            groups.append(table.column("group").to_numpy())
            text_groups.append(table.column("text_group").to_numpy())
            keys.extend(hash64(key_form(text)) for text in table.column("text").to_pylist())
            labels.extend(table.column("label").to_pylist())
            if split_by not in (NEAR_DUPLICATE, TEXT):
                values.extend(
                    keys[len(values)] if value is None else hash64(str(value))
                    for value in table.column(split_by).to_pylist()
                )
        self.row: Integers = np.concatenate(rows)
        self.group: Integers = np.concatenate(groups)
        self.text_group: Integers = np.concatenate(text_groups)
        self.key: Integers = np.array(keys, np.int64)
        """The words of the text, worked out anew: the check doesn't lean on what it checks."""
        self.value: Integers = np.array(values, np.int64)
        self.label_names = tuple(sorted(set(labels)))
        ids = {name: position for position, name in enumerate(self.label_names)}
        self.label: Integers = np.array([ids[name] for name in labels], np.int64)

    def kept_together(self, split_by: str) -> Integers:
        """Return the code of each row's group, from 0 without gaps; the same text is always in one group."""
        import numpy as np
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        ties = {NEAR_DUPLICATE: self.group, TEXT: self.text_group}.get(split_by, self.value)
        one = np.unique(self.key, return_inverse=True)[1]
        other = np.unique(ties, return_inverse=True)[1] + one.max() + 1
        size = int(other.max()) + 1
        graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(size, size))
        components = connected_components(graph, directed=False)[1]
        codes: Integers = np.unique(components[one], return_inverse=True)[1].astype(np.int64)
        return codes

    def identity(self) -> Integers:
        """Return what a group's place is worked out from: the column's value, else the text."""
        return self.value if len(self.value) else self.key


def _check_column(split_by: str, columns: list[str]) -> None:
    """Refuse to split by a column that isn't there.

    Raises:
        InputError: Naming the columns.
    """
    if split_by in (NEAR_DUPLICATE, TEXT) or (split_by in columns and split_by not in _INTERNAL):
        return
    known = [NEAR_DUPLICATE, TEXT, *(name for name in columns if name not in _INTERNAL)]
    guess = nearest(split_by, known)
    raise InputError(
        f"the data has no column '{split_by}'",
        place="data.split_by",
        mend=f"{guess + ' ' if guess else ''}choose one of {', '.join(known)}",
    )


def _refuse_leaks(leaks: dict[str, int], split_by: str) -> None:
    """Stop when something stands on both sides that must not.

    Raises:
        TunewrightError: Saying what and how often.
    """
    forbidden = ("normalised_text", NEAR_DUPLICATE) if split_by == NEAR_DUPLICATE else ("normalised_text",)
    for kind in forbidden:
        if leaks[kind]:
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
    for whole in read_parts(source):
        span = slice(start, start + whole.num_rows)
        start += whole.num_rows
        table = _arranged(whole, pa.array(groups[span], pa.int64()))
        columns = {field.name: str(field.type) for field in table.schema}
        for side, (writer, state) in enumerate(zip(writers, states, strict=True)):
            part = table.filter(pa.array(sides[span] == side))
            writer.add(part)
            _digest_rows(part, state)
    for writer in writers:
        writer.close()
    return {name: state.hexdigest() for name, state in zip(SPLITS, states, strict=True)}, columns


def digest_of_rows(dataset: Dataset) -> str:
    """Compute a data set's digest from its rows, to hold against the one in its manifest."""
    import pyarrow.parquet as pq

    digests: dict[str, str] = {}
    for name in SPLITS:
        state = hashlib.sha256()
        for shard in sorted((dataset.root / name).glob("*.parquet")):
            _digest_rows(pq.read_table(shard, columns=["text", "label"]), state)
        digests[name] = state.hexdigest()
    return _digest(dataset.label_names, digests)


def _digest_rows(rows: pa.Table, state: hashlib._Hash) -> None:
    """Take texts and labels into a split's digest."""
    for pair in zip(rows.column("text").to_pylist(), rows.column("label").to_pylist(), strict=True):
        state.update(json.dumps(pair, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")


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
    rows: _Rows,
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
