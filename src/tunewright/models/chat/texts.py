"""What a tokenizer makes of the texts in rows: characters that vanish, unknown tokens, what doesn't read back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tunewright.models.coverage import BATCH, Coverage, measure_coverage
from tunewright.models.tokenizers import LOST_ROWS_SHARE, UNLIMITED

if TYPE_CHECKING:
    from tunewright.data.chat.rows import ChatRow

MAX_UNKNOWN_SHARE = 0.02
"""The share of unknown tokens at which ``model.max_unknown_share`` stands unless it is set."""


@dataclass(frozen=True, slots=True)
class TextFault:
    """Why texts can't be learned with this tokenizer."""

    reason: Literal["lost_text", "unknown_tokens"]
    fact: str
    mend: str


@dataclass(frozen=True, slots=True)
class TextReport:
    """What was found over all texts."""

    tokens: int
    """Of the texts alone, without special tokens."""
    faults: tuple[TextFault, ...]
    notes: tuple[str, ...]


def contents(row: ChatRow) -> list[str]:
    """Return the texts of a row that a person or a model wrote; empty and unreadable ones are left out."""
    messages = (*row.messages, *row.chosen, *row.rejected)
    texts = [*(message.content for message in messages), row.prompt, row.completion, row.text]
    return [text for text in texts if text and is_readable(text)]


def is_readable(text: str) -> bool:
    """Tell whether a text can be tokenised: JSON may hold half of a surrogate pair, which no tokenizer reads."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def inspect_texts(
    tokenizer: Any,  # noqa: ANN401
    texts: Sequence[str],
    *,
    max_unknown_share: float = MAX_UNKNOWN_SHARE,
) -> TextReport:
    """Tokenise texts and read them back; much text is judged by a sample, which is the same every time."""
    tokens = inexact = 0
    for start in range(0, len(texts), BATCH):
        batch = list(texts[start : start + BATCH])
        ids = tokenizer(batch, add_special_tokens=False, verbose=False)["input_ids"]
        tokens += sum(len(each) for each in ids)
        back = tokenizer.batch_decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        inexact += sum(text != found for text, found in zip(batch, back, strict=True))
    coverage = measure_coverage(tokenizer, texts, limit=UNLIMITED)
    notes = []
    if inexact:
        notes.append(
            f"{inexact:,} of {len(texts):,} texts don't read back to the letter (white space, case …)"
        )
    if coverage.unknown_tokens and tokenizer.pad_token_id == tokenizer.unk_token_id:
        notes.append("the padding token is also the unknown token, which these texts contain")
    if coverage.special_rows:
        notes.append(
            f"{coverage.special_rows:,} texts spell out a special token, which the model reads as that token"
        )
    return TextReport(tokens, tuple(_faults(coverage, max_unknown_share)), tuple(notes))


def _faults(coverage: Coverage, max_unknown_share: float) -> Iterator[TextFault]:
    """Give what stops: the same bounds as for classifiers."""
    lost = coverage.lost_rows / max(1, coverage.rows)
    if lost > LOST_ROWS_SHARE:
        examples = " ".join(coverage.lost_characters)
        yield TextFault(
            "lost_text",
            f"the tokenizer drops characters without a trace in {lost:.1%} of the texts (such as {examples})",
            "repair its tokenizer files (an unknown token or byte fallback), or take another model",
        )
    if coverage.unknown_share > max_unknown_share:
        examples = " ".join(coverage.unknown_examples)
        yield TextFault(
            "unknown_tokens",
            f"{coverage.unknown_share:.1%} of the tokens are unknown to the tokenizer (such as {examples})",
            f"take another model, clean the texts, or raise model.max_unknown_share ({max_unknown_share:.1%})",
        )
