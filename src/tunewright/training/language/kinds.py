"""Which rows an objective learns from: others are turned into them where that is sound, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tunewright.config.language import Objective
    from tunewright.data.chat.rows import ChatRow, Kind

EVERY: frozenset[Kind] = frozenset({"conversation", "completion", "text", "preference", "rated"})
TAKES: Mapping[Objective, frozenset[Kind]] = {
    "sft": EVERY,
    "pretrain": EVERY,
    "dpo": frozenset({"preference"}),
    "orpo": frozenset({"preference"}),
    "reward": frozenset({"preference"}),
    "kto": frozenset({"preference", "rated"}),
    "grpo": EVERY - {"text"},
}
SAYS: Mapping[Kind, str] = {
    "conversation": "a conversation",
    "completion": "a prompt with its completion",
    "text": "plain text",
    "preference": "a preference",
    "rated": "a rated answer",
}
WANTS: Mapping[Objective, str] = {
    "dpo": "preferences (prompt, chosen and rejected)",
    "orpo": "preferences (prompt, chosen and rejected)",
    "reward": "preferences (prompt, chosen and rejected)",
    "kto": "rated answers (prompt, completion and label) or preferences",
    "grpo": "rows that ask something",
}


def suited(rows: Iterable[ChatRow], objective: Objective, *, split: str) -> tuple[ChatRow, ...]:
    """Return the rows as an objective learns from them.

    KTO makes two rated answers of a preference: the chosen one is good, the rejected one bad.

    Args:
        rows: Rows of any kinds.
        objective: What is learned.
        split: Where they come from, for errors.

    Raises:
        InputError: When a row is of a kind that the objective can't learn from.
    """
    found: list[ChatRow] = []
    for row in rows:
        _require(row, objective, split)
        if objective == "kto" and row.kind == "preference":
            found += _rated(row)
        else:
            found.append(row)
    return tuple(found)


def _require(row: ChatRow, objective: Objective, split: str) -> None:
    """Refuse a row that the objective can't learn from."""
    place = f"{split} split, row {row.row}"
    if row.kind not in TAKES[objective]:
        fits = sorted(name for name, kinds in TAKES.items() if row.kind in kinds)
        raise InputError(
            f"is {SAYS[row.kind]}, and {objective} learns from {WANTS[objective]}",
            place=place,
            mend=f"give such rows, or set training.objective to {' or '.join(fits)}",
        )
    if objective == "sft" and row.kind == "rated" and not row.good:
        raise InputError(
            "is an answer that was rated bad, and sft would learn to give it",
            place=place,
            mend="set training.objective=kto, which learns from bad answers too, or remove such rows",
        )


def _rated(row: ChatRow) -> tuple[ChatRow, ChatRow]:
    """Return the two answers of a preference, each rated on its own."""
    fields = {"kind": "rated", "rejected": ()}
    return (
        row.model_copy(update={**fields, "good": True}),
        row.model_copy(update={**fields, "chosen": row.rejected, "good": False}),
    )
