"""Rows of a language model as token ids with a mask over those that carry loss, made once and kept in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tunewright.models.chat.masking import Loss, mask_row
from tunewright.models.chat.template import RefusedRowError
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np

    from tunewright.data.chat.rows import ChatRow
    from tunewright.models.chat.tokenizer import ChatTokenizer

Asked = Literal["auto", "assistant", "completion", "all"]


@dataclass(frozen=True, slots=True)
class MaskedRows:
    """Rows as token ids; the lists run in parallel."""

    ids: tuple[tuple[int, ...], ...]
    masks: tuple[tuple[bool, ...], ...]
    """Which tokens carry loss."""
    cut: tuple[bool, ...]
    """Which rows were longer than the limit."""

    @property
    def truncated(self) -> int:
        """Rows that were longer than the limit."""
        return sum(self.cut)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    def __getitem__(self, position: int) -> tuple[tuple[int, ...], tuple[bool, ...]]:
        """Return one row's token ids and its mask."""
        return self.ids[position], self.masks[position]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64, shape (rows,)."""
        import numpy as np

        return np.array([len(row) for row in self.ids], dtype=np.int64)

    @property
    def supervised(self) -> int:
        """Tokens that carry loss."""
        return sum(map(sum, self.masks))


def loss_of(asked: Asked) -> Loss | None:
    """Return what carries loss; ``None`` where it depends on the row."""
    return None if asked == "auto" else asked


def mask_rows(
    rows: Iterable[ChatRow], chat: ChatTokenizer, *, loss: Loss | None, max_length: int, split: str
) -> MaskedRows:
    """Render, tokenise and mask rows for one pass of supervised learning.

    Of a preference the chosen answer is learned.

    Args:
        rows: What to learn from.
        chat: Tokenizer and template.
        loss: As in ``mask_row``.
        max_length: Tokens to keep of a row, from the start.
        split: Where they come from, for errors.

    Raises:
        InputError: When there are no rows, or one can't be rendered or carries no loss.
    """
    ids: list[Sequence[int]] = []
    masks: list[Sequence[bool]] = []
    cut: list[bool] = []
    for row in rows:
        try:
            masked = mask_row(row, chat, loss=loss, max_length=max_length)[0]
        except RefusedRowError as error:
            raise InputError(error.fact, place=f"{split} split, row {row.row}", mend=error.mend) from error
        if not masked.supervised:
            raise InputError(
                "no token carries loss",
                place=f"{split} split, row {row.row}",
                mend="raise model.max_length, or remove the row (`tunewright data preview` shows it)",
            )
        cut.append(masked.cut_tokens > 0)
        ids.append(masked.ids)
        masks.append(masked.mask)
    if not ids:
        raise InputError("has no rows", place=f"{split} split", mend="give more data or a smaller test_share")
    return MaskedRows(tuple(map(tuple, ids)), tuple(map(tuple, masks)), tuple(cut))
