"""What a model says to a few validation prompts, for a person who watches it learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunewright.models.language.generation import write_ids
from tunewright.models.language.prompts import prompt_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.data.chat.rows import ChatRow
    from tunewright.models.chat.tokenizer import ChatTokenizer

SAMPLE_TOKENS = 64
"""Tokens an answer, at most: enough to see what is learned, short beside an epoch."""


def written_samples(
    model: Any,  # noqa: ANN401
    chat: ChatTokenizer,
    rows: Sequence[ChatRow],
    *,
    limit: int,
) -> list[dict[str, str]]:
    """Let a model answer prompts greedily; no random number is drawn.

    Args:
        model: A causal model.
        chat: Its tokenizer.
        rows: Whose prompts are answered.
        limit: Tokens that prompt and answer may have together; a prompt with as many isn't answered.

    Returns:
        A row each: ``prompt``, ``answer`` and ``reference``, what the row has in the answer's place.
    """
    if not rows:
        return []
    prompts = [prompt_of(row, chat) for row in rows]
    answers = write_ids(
        model,
        [prompt.ids for prompt in prompts],
        stop_ids=chat.setup.stop_ids,
        pad_id=chat.setup.pad_id,
        max_new_tokens=SAMPLE_TOKENS,
        batch_size=len(rows),
        max_length=limit,
    )
    return [
        {
            "prompt": prompt.text,
            "answer": chat.tokenizer.decode(answer, skip_special_tokens=True).strip(),
            "reference": reference_of(row),
        }
        for row, prompt, answer in zip(rows, prompts, answers, strict=True)
    ]


def reference_of(row: ChatRow) -> str:
    """Return the answer that a row gives to its prompt, as text; empty where it gives none."""
    if row.kind in {"text", "completion"}:
        return row.completion or row.text
    said = row.chosen or row.messages[-1:]
    return "\n".join(message.content for message in said if message.role == "assistant")
