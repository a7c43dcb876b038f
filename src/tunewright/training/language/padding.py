"""Tensors of masked rows: padded side by side, or several to a sequence, apart from each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.training.batching import Padding
from tunewright.training.trainer import IGNORED

if TYPE_CHECKING:
    import torch

Row = tuple[Sequence[int], Sequence[bool]]
WIDTHS = 8
"""Batches are as wide as a multiple of so many tokens: a few per cent more padding, and an eighth of the shapes."""


@dataclass(frozen=True, slots=True)
class TokenPadding(Padding):
    """Pads rows on the right; padding and tokens without loss get no label."""

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """Return ``input_ids``, ``attention_mask`` and ``labels``, each int64 (rows, length)."""
        import numpy as np
        import torch

        width = self.width([len(ids) for ids, _ in rows])
        tokens = np.full((len(rows), width), self.pad_id, dtype=np.int64)
        mask, labels = np.zeros_like(tokens), np.full_like(tokens, IGNORED)
        for at, (ids, carries) in enumerate(rows):
            tokens[at, : len(ids)] = ids
            mask[at, : len(ids)] = 1
            labels[at, : len(ids)] = np.where(carries, ids, IGNORED)
        arrays = {"input_ids": tokens, "attention_mask": mask, "labels": labels}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


@dataclass(frozen=True, slots=True)
class Packing(TokenPadding):
    """Puts several rows into one sequence, first fit decreasing, none longer than the longest row or the limit.

    There is no attention mask: positions that begin again tell Transformers where a row ends, so that no token sees
    another row (its mask is block-diagonal), and the first token of a row has no label. Padding is a row of its own.
    """

    capacity: int = 0
    """Tokens a sequence, where no row is longer."""

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """Return ``input_ids``, ``position_ids`` and ``labels``, each int64 (sequences, length)."""
        import numpy as np
        import torch

        bins = pack([len(ids) for ids, _ in rows], self.capacity)
        width = self.width([sum(len(rows[at][0]) for at in each) for each in bins])
        tokens = np.full((len(bins), width), self.pad_id, dtype=np.int64)
        positions, labels = np.zeros_like(tokens), np.full_like(tokens, IGNORED)
        for number, each in enumerate(bins):
            start = 0
            for at in each:
                ids, carries = rows[at]
                place = slice(start, start + len(ids))
                tokens[number, place] = ids
                positions[number, place] = np.arange(len(ids))
                labels[number, place] = np.where((False, *carries[1:]), ids, IGNORED)
                start += len(ids)
            positions[number, start:] = np.arange(width - start)
        arrays = {"input_ids": tokens, "position_ids": positions, "labels": labels}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def computed(self, lengths: Sequence[int], *, tokens: int) -> int:  # noqa: ARG002 -- a packed batch isn't cut
        """Return the tokens that rows of these lengths cost when they are packed."""
        bins = pack(list(lengths), self.capacity)
        return len(bins) * self.width([sum(lengths[at] for at in each) for each in bins])

    def pieces(self, batch: Mapping[str, torch.Tensor], *, tokens: int) -> Iterator[dict[str, torch.Tensor]]:
        """Return a packed batch sequence by sequence on a CPU, whole elsewhere."""
        if batch["input_ids"].numel() <= tokens:
            yield dict(batch)
            return
        for at in range(len(batch["input_ids"])):
            yield {name: tensor[at : at + 1] for name, tensor in batch.items()}


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Put rows into sequences, first fit decreasing (Johnson 1973); return the rows of each.

    Args:
        lengths: Tokens of each row.
        capacity: Tokens a sequence; a longer row sets it.
    """
    room = max(capacity, *lengths) if lengths else capacity
    bins: list[list[int]] = []
    free: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda at: -lengths[at]):
        at = next((at for at, left in enumerate(free) if left >= lengths[row]), None)
        if at is None:
            bins.append([row])
            free.append(room - lengths[row])
        else:
            bins[at].append(row)
            free[at] -= lengths[row]
    return bins
