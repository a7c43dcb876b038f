"""Batches of texts of similar length, and what padding they cost.

A batch costs as much as its longest text times its rows. Sorting the rows by length, cutting the sorted list
into batches and shuffling the batches keeps the padding to a few per cent; a seeded jitter of the sort key makes
other batches in every epoch. The longest batch of an epoch comes first, so that a lack of memory shows at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tunewright.support.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch

LENGTH_JITTER = 0.02
"""A text's length moves by up to this share before sorting: rows meet others in the next epoch."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as token ids, made once and kept in memory; lists run in parallel."""

    ids: tuple[tuple[int, ...], ...]
    labels: tuple[int, ...]
    truncated: int
    """Rows that were longer than the limit."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    def __getitem__(self, position: int) -> tuple[tuple[int, ...], int]:
        """Return one row's token ids and class id."""
        return self.ids[position], self.labels[position]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64, shape (rows,)."""
        import numpy as np

        return np.array([len(row) for row in self.ids], dtype=np.int64)


def encode(
    tokenizer: Any,  # noqa: ANN401
    texts: Sequence[str],
    labels: Sequence[int],
    *,
    limit: int,
    split: str,
) -> Encoded:
    """Tokenise rows once, cut at ``limit`` tokens, special tokens included.

    Raises:
        InputError: When there are no rows.
    """
    if not texts:
        raise InputError("has no rows", place=f"{split} split", mend="give more data or a smaller test_share")
    full = tokenizer(list(texts), add_special_tokens=True, truncation=False, verbose=False)["input_ids"]
    long = [position for position, row in enumerate(full) if len(row) > limit]
    if long:
        cut = tokenizer([texts[position] for position in long], truncation=True, max_length=limit)[
            "input_ids"
        ]
        for position, row in zip(long, cut, strict=True):
            full[position] = row
    return Encoded(ids=tuple(map(tuple, full)), labels=tuple(labels), truncated=len(long))


class Batches:
    """The batches of every epoch, as lists of row positions; a batch sampler for a torch ``DataLoader``.

    The same seed and epoch give the same batches, whatever ran before: a resumed training meets the rows that
    the killed one would have met. Rows are grouped by optimiser step, so that 4 batches of 8 rows hold the same
    rows as 1 batch of 32.

    Args:
        lengths: Tokens of each row.
        batch_size: Rows a batch; the last of an epoch may hold fewer.
        window: Batches that make one optimiser step.
        grouping: ``length_grouped``, or ``random`` for plain shuffling.
        seed: Seed of all epochs.
    """

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        batch_size: int,
        *,
        window: int = 1,
        grouping: Literal["length_grouped", "random"],
        seed: int,
    ) -> None:
        import numpy as np

        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.batch_size = batch_size
        self.window = window
        self.grouping = grouping
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        """Return the batches of an epoch."""
        return math.ceil(len(self.lengths) / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Walk over the current epoch."""
        return (batch for step in self.steps(self.epoch) for batch in step)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, counted from 0, that iteration walks over."""
        self.epoch = epoch

    def steps(self, epoch: int) -> list[list[list[int]]]:
        """Return the batches of one epoch, step by step; every row stands in exactly one of them."""
        import numpy as np

        random = np.random.default_rng((self.seed, epoch))
        if self.grouping == "random":
            return self._cut(random.permutation(len(self.lengths)))
        jitter = random.uniform(1 - LENGTH_JITTER, 1 + LENGTH_JITTER, len(self.lengths))
        # Cutting starts at the long end: what doesn't fill a step are the shortest rows, and they come last.
        steps = self._cut(np.argsort(-self.lengths * jitter, kind="stable"))
        whole = len(self.lengths) // (self.batch_size * self.window)
        longest = max(range(len(steps)), key=lambda at: (self._longest(steps[at]), -at))
        middle = [at for at in range(whole) if at != longest]
        last = [at for at in range(whole, len(steps)) if at != longest]
        return [steps[at] for at in (longest, *(middle[at] for at in random.permutation(len(middle))), *last)]

    def tokens(self, batch: Sequence[int]) -> tuple[int, int]:
        """Return useful and computed tokens of a batch that is padded to its longest row."""
        lengths = self.lengths[list(batch)]
        return int(lengths.sum()), int(lengths.max()) * len(batch)

    def _cut(self, order: np.ndarray) -> list[list[list[int]]]:
        """Cut an order of rows into steps, and these into batches, longest rows first."""
        rows = self.batch_size * self.window
        return [
            [
                order[at : at + self.batch_size].tolist()
                for at in range(start, min(start + rows, len(order)), self.batch_size)
            ]
            for start in range(0, len(order), rows)
        ]

    def _longest(self, step: list[list[int]]) -> int:
        """Return the tokens of the largest batch of a step: what decides about memory."""
        return max(self.tokens(batch)[1] for batch in step)


def spans(
    lengths: Sequence[int], width: Callable[[Sequence[int]], int], *, tokens: int
) -> Iterator[tuple[int, int, int]]:
    """Cut rows into pieces of about ``tokens`` tokens; give first row, end and width of each.

    Args:
        lengths: Tokens of each row, longest first or nearly so: the first of a piece tells how many rows fit.
        width: Tells what rows of some lengths are padded to.
        tokens: Tokens of a piece, padding included; a longer row makes a piece of its own.
    """
    if len(lengths) * width(lengths) <= tokens:
        yield 0, len(lengths), width(lengths)
        return
    start = 0
    while start < len(lengths):
        end = min(len(lengths), start + max(1, tokens // width(lengths[start : start + 1])))
        yield start, end, width(lengths[start:end])
        start = end


@dataclass(frozen=True, slots=True)
class Padding:
    """Makes tensors of rows: a collator for a torch ``DataLoader``."""

    pad_id: int
    side: Literal["left", "right"] = "right"
    to_length: int | None = None
    """Pad to this many tokens; ``None`` pads to the longest row of the batch."""
    multiple: int = 1
    """Pad to a multiple of so many tokens: matrix libraries prepare a product for each shape that they meet."""
    limit: int | None = None
    """Tokens that a model reads at most: no multiple goes beyond."""

    def __call__(self, rows: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Return ``input_ids`` and ``attention_mask``, int64 (rows, length), and ``labels``, int64 (rows,)."""
        import numpy as np
        import torch

        width = self.width([len(ids) for ids, _ in rows])
        tokens = np.full((len(rows), width), self.pad_id, dtype=np.int64)
        mask = np.zeros_like(tokens)
        for at, (ids, _) in enumerate(rows):
            place = slice(width - len(ids), width) if self.side == "left" else slice(len(ids))
            tokens[at, place] = ids
            mask[at, place] = 1
        labels = np.array([label for _, label in rows], dtype=np.int64)
        arrays = {"input_ids": tokens, "attention_mask": mask, "labels": labels}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def width(self, lengths: Sequence[int]) -> int:
        """Return the tokens that rows of these lengths are padded to."""
        longest = max(lengths)
        rounded = -(-longest // self.multiple) * self.multiple
        return self.to_length or max(longest, min(rounded, self.limit or rounded))

    def computed(self, lengths: Sequence[int], *, tokens: int) -> int:
        """Return the tokens that rows of these lengths cost, cut into pieces of about ``tokens`` tokens."""
        return sum((end - start) * width for start, end, width in spans(lengths, self.width, tokens=tokens))

    def pieces(self, batch: Mapping[str, torch.Tensor], *, tokens: int) -> Iterator[dict[str, torch.Tensor]]:
        """Cut a batch into pieces of neighbouring rows that hold about ``tokens`` tokens, each padded for itself.

        The loss is a sum over rows, so the pieces' gradients add up to those of the batch. Attention's memory grows
        with the square of the length: a whole batch of long texts leaves the processor's cache and costs several
        times as much as its pieces.

        Args:
            batch: What calling this object gave.
            tokens: Tokens of a piece, padding included; a row that is longer makes a piece of its own.
        """
        rows, width = batch["input_ids"].shape
        if rows * width <= tokens:
            yield dict(batch)
            return
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        for start, end, width in spans(lengths, self.width, tokens=tokens):
            yield self._trimmed({name: tensor[start:end] for name, tensor in batch.items()}, width)

    def _trimmed(self, piece: dict[str, torch.Tensor], width: int) -> dict[str, torch.Tensor]:
        """Leave out columns beyond the width, which hold padding alone."""
        columns = slice(-width, None) if self.side == "left" else slice(width)
        return {name: tensor[:, columns] if tensor.ndim > 1 else tensor for name, tensor in piece.items()}
