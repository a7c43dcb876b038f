"""Rows keep their split when new ones come: what was a test row stays one, and nothing trains on it.

Rows are known by the words of their text (``normal_form.key_form``), so that a row that comes again, with other
punctuation or another label, is the same row. The file is parquet with the columns ``key`` (int64) and ``side`` (int8).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.data.allocation import FREE, TEST, TRAIN, VALIDATION
from tunewright.data.normal_form import hash64, key_form
from tunewright.support.errors import InputError
from tunewright.support.files import writing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.data.dataset import Dataset, SplitName

    Integers = npt.NDArray[np.int64]
    Sides = npt.NDArray[np.int8]

SIDES: dict[SplitName, int] = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


@dataclass(frozen=True, slots=True)
class FrozenRows:
    """Where rows of an earlier data set stood."""

    keys: Integers
    """Sorted, shape (n,)."""
    side: Sides
    """The split of each, shape (n,)."""

    def sides(self, keys: Integers) -> Sides:
        """Return where rows stood, ``FREE`` for those that are new, shape (len(keys),)."""
        import numpy as np

        if not len(self.keys):
            return np.full(len(keys), FREE, np.int8)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.side[at], FREE).astype(np.int8)


def freeze(dataset: Dataset, path: Path) -> None:
    """Write down where the rows of a data set stand; what a file says already is kept for rows that have gone."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    earlier = read_frozen(path)
    known = {} if earlier is None else dict(zip(earlier.keys.tolist(), earlier.side.tolist(), strict=True))
    for name, side in SIDES.items():
        known |= {hash64(key_form(text)): side for text in dataset.examples(name).texts}
    keys = np.array(sorted(known), np.int64)
    columns = {"key": keys, "side": np.array([known[key] for key in keys.tolist()], np.int8)}
    with writing(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def read_frozen(path: Path) -> FrozenRows | None:
    """Read where rows stood; ``None`` when nothing is frozen.

    Raises:
        InputError: When the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        return None
    try:
        table = pq.read_table(path, columns=["key", "side"])
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"can't be read ({str(error).splitlines()[0]})",
            place=str(path),
            mend="`tunewright data restore latest` brings the last version back",
        ) from error
    return FrozenRows(table["key"].to_numpy(), table["side"].to_numpy())
