"""Near-duplicates: MinHash to find candidates, exact Jaccard similarity to decide, clusters by union.

MinHash estimates the Jaccard similarity of two sets of character shingles (Broder 1997); banding finds the
pairs worth a look without comparing all with all (Leskovec, Rajaraman, Ullman, *Mining of Massive Datasets*,
chapter 3). The signatures are datasketch's; the bands are sorted here instead of put into its index of
dictionaries, which takes 8 kB of memory a row against 0.5 kB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING
from zlib import crc32

from tunewright.data.normal_form import words

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Positions = npt.NDArray[np.int64]
    Texts = Callable[[Positions], Iterable[tuple[int, str]]]
    """Streams (position, text) of the positions asked for (sorted), in that order."""

PERMUTATIONS = 128
"""Length of a signature: 512 bytes a row."""

RECALL = 0.999
"""Least probability that a pair exactly at the threshold becomes a candidate."""

MARGIN = 0.2
"""A pair whose signatures agree on less than the threshold by this much isn't compared exactly: five standard
deviations of the estimate at 0.8, whose variance is J (1 - J) / PERMUTATIONS."""

SHINGLES = ((200, 3), (2_000, 5))
"""Characters a shingle by median length of the texts: short ones share few long shingles, long ones share
nearly all short ones (the book's advice: 5 for mails, 9 for papers)."""
LONG_SHINGLE = 9

CACHED_SETS = 4_096
"""Shingle sets kept at hand while pairs are compared."""

COMPARED = 256
"""A row is compared with this many members of a cluster in its bucket before it counts as unlike."""


def shingle_size(median_characters: float) -> int:
    """Return the characters a shingle for texts of this median length."""
    return next((size for limit, size in SHINGLES if median_characters <= limit), LONG_SHINGLE)


def near_duplicates(
    texts: Texts, positions: Positions, *, same: Positions, threshold: float, size: int
) -> Positions:
    """Cluster texts whose shingle sets have at least the given Jaccard similarity, directly or in a chain.

    Args:
        texts: Streams texts by position; asked twice, the second time only for candidates.
        positions: The rows to cluster, sorted, shape (n,).
        same: For each of ``positions`` the index of the first one that it belongs with in any case, (n,).
        threshold: Jaccard similarity, between 0 and 1.
        size: Characters a shingle.

    Returns:
        For each of ``positions`` the index (into ``positions``) of the first member of its cluster, (n,).
    """
    import numpy as np

    parents: list[int] = same.tolist()
    if len(positions) > 1:
        signatures = _signatures(texts, positions, size)
        buckets = list(_buckets(signatures, threshold))
        members = np.unique(np.concatenate(buckets)) if buckets else np.empty(0, np.int64)
        kept = {
            int(index): words(text)
            for index, (_, text) in zip(members, texts(positions[members]), strict=True)
        }
        _join(parents, buckets, signatures, kept, threshold=threshold, size=size)
    return np.array([_root(parents, index) for index in range(len(parents))], dtype=np.int64)


def shingles(form: str, size: int) -> frozenset[str]:
    """Return the set of character runs of ``size`` of a text; a shorter text is its own only shingle."""
    return frozenset(form[start : start + size] for start in range(max(1, len(form) - size + 1)))


def bands(threshold: float) -> tuple[int, int]:
    """Return (bands, rows a band): the most selective banding that still finds pairs at the threshold."""
    for rows in range(PERMUTATIONS, 1, -1):
        count = PERMUTATIONS // rows
        if 1 - (1 - threshold**rows) ** count >= RECALL:
            return count, rows
    return PERMUTATIONS, 1


def _signatures(texts: Texts, positions: Positions, size: int) -> npt.NDArray[np.uint32]:
    """Return the MinHash signatures, shape (n, PERMUTATIONS)."""
    import numpy as np
    from datasketch import MinHash

    sets = (
        [crc32(shingle.encode("utf-8", "surrogatepass")) for shingle in shingles(words(text), size)]
        for _, text in texts(positions)
    )
    found = np.empty((len(positions), PERMUTATIONS), dtype=np.uint32)
    for index, sketch in enumerate(MinHash.generator(sets, num_perm=PERMUTATIONS, hashfunc=int)):
        found[index] = sketch.hashvalues
    return found


def _buckets(signatures: npt.NDArray[np.uint32], threshold: float) -> Iterator[Positions]:
    """Give, band by band, the sets of rows that agree on a whole band (two rows or more)."""
    import numpy as np

    count, rows = bands(threshold)
    for band in range(count):
        piece = np.ascontiguousarray(signatures[:, band * rows : (band + 1) * rows])
        keys = piece.view(np.dtype((np.void, piece.dtype.itemsize * rows))).ravel()
        _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
        order = np.argsort(inverse, kind="stable")
        ends = np.cumsum(counts)
        for bucket in np.flatnonzero(counts > 1):
            yield order[ends[bucket] - counts[bucket] : ends[bucket]]


def _join(
    parents: list[int],
    buckets: list[Positions],
    signatures: npt.NDArray[np.uint32],
    kept: dict[int, str],
    *,
    threshold: float,
    size: int,
) -> None:
    """Unite, in ``parents``, the rows of each bucket that are similar enough."""
    import numpy as np

    least = (threshold - MARGIN) * PERMUTATIONS

    @lru_cache(maxsize=CACHED_SETS)
    def sets(index: int) -> frozenset[str]:
        return shingles(kept[index], size)

    def are_similar(first: int, second: int) -> bool:
        if np.count_nonzero(signatures[first] == signatures[second]) < least:
            return False
        one, other = sets(first), sets(second)
        shared = len(one & other)
        return shared >= threshold * (len(one) + len(other) - shared)

    for bucket in buckets:
        clusters: list[list[int]] = []
        for index in bucket.tolist():
            near, far = [], []
            for cluster in clusters:
                joined = _root(parents, index) == _root(parents, cluster[0])
                if joined or any(are_similar(member, index) for member in cluster[:COMPARED]):
                    _unite(parents, index, cluster[0])
                    near.extend(cluster)
                else:
                    far.append(cluster)
            clusters = [[*near, index], *far]


def _root(parents: list[int], index: int) -> int:
    """Return the first member of a row's cluster, shortening the path on the way."""
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


def _unite(parents: list[int], first: int, second: int) -> None:
    """Make two clusters one; its root is the earlier of both."""
    one, other = _root(parents, first), _root(parents, second)
    parents[max(one, other)] = min(one, other)
