"""Which split a group of rows goes to: seeded, stratified by label, and as stable as shares allow.

Every group has a place between 0 and 1, a hash of its content and the seed; the place says which split it
would rather go to. It goes there unless that would overfill a label, so that the same data always splits the
same way, in any order of rows, and new rows move only few of the old ones across.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from tunewright.support.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

TRAIN, VALIDATION, TEST = range(3)
ALL = (TRAIN, VALIDATION, TEST)
FREE = -1
"""Stands for no split: of the splits in which a group's rows have stood, the greatest number wins."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows that stay together."""

    code: int
    place: float
    labels: tuple[tuple[int, int], ...]
    """(label, rows) pairs."""

    @property
    def size(self) -> int:
        """Rows in the group."""
        return sum(rows for _, rows in self.labels)


def allocate(
    groups: Integers,
    labels: Integers,
    identities: Integers,
    *,
    label_names: tuple[str, ...],
    test_share: float,
    validation_share: float,
    seed: int,
    frozen: npt.NDArray[np.int8] | None = None,
) -> npt.NDArray[np.int8]:
    """Return the split of each row.

    Args:
        groups: Code of the group of each row, from 0 without gaps, shape (n,).
        labels: Label of each row, shape (n,).
        identities: 64 bits of content of each row, shape (n,); the least of a group is the group's own.
        label_names: Names, for messages.
        test_share: Share of each label's rows for the test split.
        validation_share: Share of each label's rows for the validation split.
        seed: Another seed gives another split.
        frozen: The split in which a row stood in an earlier data set, ``FREE`` for a new row, shape (n,). A group goes
            where its members stood, to the test split before the validation split before the train split.

    Returns:
        ``TRAIN``, ``VALIDATION`` or ``TEST`` for each row, shape (n,).

    Raises:
        InputError: When a label has too few groups to stand in every split.
    """
    import numpy as np

    found = _collect(groups, labels, identities, seed)
    sizes = np.bincount(labels, minlength=len(label_names)).tolist()
    targets = [_targets(size, test_share, validation_share) for size in sizes]
    room = [[target[split] for target in targets] for split in ALL]
    bounds = (test_share, test_share + validation_share)
    chosen = np.full(len(found), FREE, np.int8)
    if frozen is not None:
        np.maximum.at(chosen, groups, frozen)
    fixed = chosen != FREE
    for group in sorted(found, key=lambda item: (not fixed[item.code], -item.size, item.place)):
        split = int(chosen[group.code]) if fixed[group.code] else _best(group, room, targets, bounds)
        chosen[group.code] = split
        for label, rows in group.labels:
            room[split][label] -= rows
    _cover(found, chosen, fixed, label_names)
    every: npt.NDArray[np.int8] = chosen[groups]
    return every


def _collect(groups: Integers, labels: Integers, identities: Integers, seed: int) -> list[_Group]:
    """Return the groups with their places and label counts."""
    import numpy as np

    count = int(groups.max()) + 1
    least = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(least, groups, identities)
    width = int(labels.max()) + 1
    pairs, rows = np.unique(groups * width + labels, return_counts=True)
    by_group: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for pair, number in zip(pairs.tolist(), rows.tolist(), strict=True):
        by_group[pair // width].append((pair % width, number))
    return [
        _Group(code, _place(identity, seed), tuple(pairs_of))
        for code, (identity, pairs_of) in enumerate(zip(least.tolist(), by_group, strict=True))
    ]


def _place(identity: int, seed: int) -> float:
    """Return a number in [0, 1) that depends on content and seed alone."""
    content = identity.to_bytes(8, "little", signed=True)
    digest = blake2b(content, digest_size=8, salt=seed.to_bytes(8, "little")).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53


def _targets(size: int, test_share: float, validation_share: float) -> tuple[int, int, int]:
    """Return the rows that a label should have in each split: at least one in each, train takes the rest."""
    test = max(1, round(size * test_share))
    validation = max(1, round(size * validation_share))
    return max(1, size - test - validation), validation, test


def _best(
    group: _Group, room: list[list[int]], targets: list[tuple[int, int, int]], bounds: tuple[float, float]
) -> int:
    """Return the split a group would rather go to, or where it overfills least and is needed most."""
    preferred = TEST if group.place < bounds[0] else VALIDATION if group.place < bounds[1] else TRAIN
    if all(room[preferred][label] >= rows for label, rows in group.labels):
        return preferred

    def cost(split: int) -> tuple[int, float]:
        overfill = sum(max(0, rows - room[split][label]) for label, rows in group.labels)
        need = sum(rows * room[split][label] / targets[label][split] for label, rows in group.labels)
        return overfill, -need

    return min(ALL, key=cost)


def _cover(
    groups: list[_Group],
    chosen: npt.NDArray[np.int8],
    fixed: npt.NDArray[np.bool_],
    label_names: tuple[str, ...],
) -> None:
    """Move small groups that are free to move, so that every label stands in every split.

    Raises:
        InputError: When there aren't enough groups for it.
    """
    import numpy as np

    holding = np.zeros((len(label_names), len(ALL)), np.int64)
    for group in groups:
        for label, _ in group.labels:
            holding[label, chosen[group.code]] += 1
    for label, split in np.argwhere(holding == 0).tolist():
        if holding[label, split]:
            continue
        spare = [
            group
            for group in groups
            if not fixed[group.code]
            and any(held == label for held, _ in group.labels)
            and all(holding[held, chosen[group.code]] > 1 for held, _ in group.labels)
        ]
        if not spare:
            raise InputError(
                f"the label '{label_names[label]}' has too few independent rows for three splits",
                place="data.split_by",
                mend="add rows of it, merge the label with another, or set data.split_by=text",
            )
        moved = min(spare, key=lambda item: (item.size, item.place))
        for held, _ in moved.labels:
            holding[held, chosen[moved.code]] -= 1
            holding[held, split] += 1
        chosen[moved.code] = split
