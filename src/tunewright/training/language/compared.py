"""Rows of preferences and ratings as token ids with masks, and the tensors made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tunewright.training.batching import Padding, spans
from tunewright.training.language.rows import MaskedRows

if TYPE_CHECKING:
    import numpy as np
    import torch

Row = tuple[Sequence[int], Sequence[bool]]
Pair = tuple[Row, Row, tuple[float, ...]]
Rated = tuple[Row, Row, bool, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class PairRows:
    """Preferences; the lists run in parallel."""

    chosen: MaskedRows
    rejected: MaskedRows
    truncated: int
    """Pairs with an answer that was longer than the limit."""
    reference: tuple[tuple[float, float], ...] | None = None
    """Log-probabilities of chosen and rejected answers under the reference model; ``None``: none is needed."""

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.chosen)

    def __getitem__(self, position: int) -> Pair:
        """Return the chosen answer, the rejected one, and the reference's log-probabilities of both."""
        known = self.reference[position] if self.reference else (0.0, 0.0)
        return self.chosen[position], self.rejected[position], known

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of both answers with their prompts, int64, shape (pairs,)."""
        lengths: np.ndarray = self.chosen.lengths + self.rejected.lengths
        return lengths

    @property
    def sequences(self) -> tuple[MaskedRows, MaskedRows]:
        """What the reference model judges."""
        return self.chosen, self.rejected

    def referred(self, found: Sequence[Sequence[float]]) -> PairRows:
        """Return the same rows with the reference's log-probabilities of ``sequences``."""
        return replace(self, reference=tuple(zip(*found, strict=True)))


@dataclass(frozen=True, slots=True)
class RatedRows:
    """Rated answers, and the same prompts with another row's answer; the lists run in parallel."""

    rows: MaskedRows
    good: tuple[bool, ...]
    mismatched: MaskedRows
    """From which KTO estimates how far the model is from the reference."""
    reference: tuple[tuple[float, float], ...] | None = None
    """Log-probabilities of the answer, and of the mismatched one, under the reference model."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, position: int) -> Rated:
        """Return the row, the mismatched one, whether it is good, and the reference's log-probabilities of both."""
        known = self.reference[position] if self.reference else (0.0, 0.0)
        return self.rows[position], self.mismatched[position], self.good[position], known

    @property
    def truncated(self) -> int:
        """Rows that were longer than the limit."""
        return self.rows.truncated

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of the row and of the mismatched one, int64, shape (rows,)."""
        lengths: np.ndarray = self.rows.lengths + self.mismatched.lengths
        return lengths

    @property
    def sequences(self) -> tuple[MaskedRows, MaskedRows]:
        """What the reference model judges."""
        return self.rows, self.mismatched

    def referred(self, found: Sequence[Sequence[float]]) -> RatedRows:
        """Return the same rows with the reference's log-probabilities of ``sequences``."""
        return replace(self, reference=tuple(zip(*found, strict=True)))


def mismatch(rows: MaskedRows, batches: Sequence[Sequence[int]], *, limit: int) -> MaskedRows:
    """Give each prompt the answer of the row before it in its batch, as KTO's authors and TRL do.

    So the answers of a batch are the same on both sides. A batch of one row borrows from the batch before it.

    Args:
        rows: Rows as masked for learning; an answer begins at the first token with loss.
        batches: Positions of the rows of each batch; each position once.
        limit: Tokens a row.
    """
    ids: list[tuple[int, ...]] = [()] * len(rows)
    masks: list[tuple[bool, ...]] = [()] * len(rows)
    starts = [mask.index(True) for mask in rows.masks]
    for number, batch in enumerate(batches):
        for at, position in enumerate(batch):
            other = batch[at - 1] if len(batch) > 1 else batches[number - 1][-1]
            start, end = starts[position], starts[other]
            ids[position] = (*rows.ids[position][:start], *rows.ids[other][end:])[:limit]
            masks[position] = (*[False] * start, *rows.masks[other][end:])[:limit]
    return MaskedRows(tuple(ids), tuple(masks), rows.cut)


def padded(rows: Sequence[Row], pad_id: int, width: int) -> dict[str, torch.Tensor]:
    """Pad rows on the right to ``width`` tokens.

    Returns:
        ``input_ids``, ``attention_mask`` and ``answer_mask`` (tokens with loss), each int64 (rows, length).
    """
    import numpy as np
    import torch

    tokens = np.full((len(rows), width), pad_id, dtype=np.int64)
    attention, answers = np.zeros_like(tokens), np.zeros_like(tokens)
    for at, (ids, carries) in enumerate(rows):
        tokens[at, : len(ids)] = ids
        attention[at, : len(ids)] = 1
        answers[at, : len(ids)] = carries
    arrays = {"input_ids": tokens, "attention_mask": attention, "answer_mask": answers}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@dataclass(frozen=True, slots=True)
class PairPadding(Padding):
    """Pads both answers of each pair; they lie below each other, chosen first."""

    def __call__(self, rows: Sequence[Pair]) -> dict[str, torch.Tensor]:
        """Return what ``padded`` gives for 2 · pairs rows, ``reference`` (pairs, 2) and ``labels`` (pairs,)."""
        import torch

        answers = [row for pair in rows for row in pair[:2]]
        batch = padded(answers, self.pad_id, self.width([len(ids) for ids, _ in answers]))
        batch["reference"] = torch.tensor([pair[2] for pair in rows], dtype=torch.float32)
        batch["labels"] = torch.ones(len(rows), dtype=torch.int64)
        return batch

    def pieces(self, batch: Mapping[str, torch.Tensor], *, tokens: int) -> Iterator[dict[str, torch.Tensor]]:
        """Cut a batch into pieces of neighbouring pairs that hold about ``tokens`` tokens, each padded for itself."""
        if batch["input_ids"].numel() <= tokens:
            yield dict(batch)
            return
        widths = batch["attention_mask"].sum(dim=1).view(-1, 2).amax(dim=1).tolist()
        for start, end, width in spans(widths, self.width, tokens=tokens // 2):
            yield {
                name: tensor[start:end]
                if name in {"reference", "labels"}
                else tensor[2 * start : 2 * end, :width]
                for name, tensor in batch.items()
            }


@dataclass(frozen=True, slots=True)
class RatedPadding(Padding):
    """Pads rated answers, and beside them the mismatched ones."""

    def __call__(self, rows: Sequence[Rated]) -> dict[str, torch.Tensor]:
        """Return what ``padded`` gives for rows and, under ``mismatched_…``, for mismatched ones.

        With them go ``reference``, float32 (rows, 2), and ``labels``, int64 (rows,), 1 for a good answer.
        """
        import torch

        batch, others = (
            padded(part, self.pad_id, self.width([len(ids) for ids, _ in part]))
            for part in ([row[0] for row in rows], [row[1] for row in rows])
        )
        batch |= {MISMATCHED + name: tensor for name, tensor in others.items()}
        batch["reference"] = torch.tensor([row[3] for row in rows], dtype=torch.float32)
        batch["labels"] = torch.tensor([int(row[2]) for row in rows])
        return batch


MISMATCHED = "mismatched_"
"""Begins the names of tensors of mismatched rows."""
