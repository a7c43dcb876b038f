"""What a tokenizer makes of real texts: unknown tokens, characters that vanish, lengths, truncation."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

SAMPLE_ROWS = 5_000
"""Texts looked at, at most: a share of one in a thousand is then known to about ±0.1 points."""
SAMPLE_SEED = 0
BATCH = 1000
EXAMPLES = 8
TYPICAL_PERCENTILE = 95


@dataclass(frozen=True, slots=True)
class TokenizerReport:
    """What a tokenizer makes of this data."""

    rows: int
    """Texts looked at."""
    sampled_from: int
    """Texts there are."""
    unknown_share: float
    """Share of tokens that are the unknown token."""
    unknown_rows: int
    unknown_examples: tuple[str, ...]
    """Pieces of text that became unknown, the most frequent first."""
    lost_rows: int
    """Texts of which a character vanished without leaving a token."""
    lost_characters: tuple[str, ...]
    altered_rows: int
    """Texts that lose nothing and yet don't read back the same, case, accents and white space aside."""
    truncated_rows: int
    """Texts longer than ``limit``."""
    limit: int
    """Tokens a text is cut at."""
    tokens_mean: float
    tokens_p95: int
    tokens_max: int
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """Say it in a few lines for a person."""
        share = self.truncated_rows / self.rows if self.rows else 0.0
        lines = [
            f"tokens a text: mean {self.tokens_mean:.0f}, p95 {self.tokens_p95}, longest {self.tokens_max}; "
            f"cut at {self.limit}: {self.truncated_rows} texts ({share:.1%})",
            f"unknown tokens: {self.unknown_share:.2%} in {self.unknown_rows} texts"
            + (f" (such as {' '.join(self.unknown_examples)})" if self.unknown_examples else ""),
        ]
        if self.lost_rows:
            lines.append(f"characters vanish in {self.lost_rows} texts ({' '.join(self.lost_characters)})")
        if self.rows < self.sampled_from:
            lines.append(f"judged by {self.rows:,} of {self.sampled_from:,} texts")
        return [*lines, *self.notes]


@dataclass(slots=True)
class Coverage:
    """Counts that grow while texts are looked at."""

    rows: int
    sampled_from: int
    lengths: list[int]
    unknown_tokens: int = 0
    unknown_rows: int = 0
    lost_rows: int = 0
    altered_rows: int = 0
    special_rows: int = 0
    truncated_rows: int = 0
    largest_id: int = -1
    unknown: Counter[str] | None = None
    lost: Counter[str] | None = None

    @property
    def unknown_share(self) -> float:
        """Share of tokens that are unknown."""
        return self.unknown_tokens / max(1, sum(self.lengths))

    @property
    def lost_characters(self) -> tuple[str, ...]:
        """Characters that vanished, the most frequent first."""
        return _most_common(self.lost)

    @property
    def unknown_examples(self) -> tuple[str, ...]:
        """Pieces of text that became unknown, the most frequent first."""
        return _most_common(self.unknown)

    def report(self, *, limit: int, notes: tuple[str, ...]) -> TokenizerReport:
        """Freeze the counts."""
        lengths = sorted(self.lengths) or [0]
        return TokenizerReport(
            rows=self.rows,
            sampled_from=self.sampled_from,
            unknown_share=self.unknown_share,
            unknown_rows=self.unknown_rows,
            unknown_examples=self.unknown_examples,
            lost_rows=self.lost_rows,
            lost_characters=self.lost_characters,
            altered_rows=self.altered_rows,
            truncated_rows=self.truncated_rows,
            limit=limit,
            tokens_mean=sum(lengths) / len(lengths),
            tokens_p95=lengths[(len(lengths) - 1) * TYPICAL_PERCENTILE // 100],
            tokens_max=lengths[-1],
            notes=notes,
        )


def measure_coverage(tokenizer: Any, texts: Sequence[str], *, limit: int) -> Coverage:  # noqa: ANN401
    """Tokenise texts (at most ``SAMPLE_ROWS``, chosen by a fixed seed) and read them back.

    A character counts as lost when it occurs less often in what the tokens read back as than in the text,
    case, accents, control characters and white space aside (normalisers of sound tokenizers change those),
    and stands in no piece that became an unknown token. Counting characters instead of trusting offsets is
    needed: a tokenizer that drops characters shifts the offsets of those that follow.
    """
    rows = list(texts)
    if len(rows) > SAMPLE_ROWS:
        rows = random.Random(SAMPLE_SEED).sample(rows, SAMPLE_ROWS)  # noqa: S311  (a sample, no secret)
    coverage = Coverage(len(rows), len(texts), lengths=[], unknown=Counter(), lost=Counter())
    for start in range(0, len(rows), BATCH):
        _look_at(tokenizer, rows[start : start + BATCH], coverage, limit)
    return coverage


def _look_at(tokenizer: Any, texts: list[str], coverage: Coverage, limit: int) -> None:  # noqa: ANN401
    """Add one batch of texts to the counts."""
    encoded = tokenizer(
        texts, return_offsets_mapping=tokenizer.is_fast, return_special_tokens_mask=True, verbose=False
    )
    unknown, special = tokenizer.unk_token_id, set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    plain = [
        [token for token, added in zip(ids, mask, strict=True) if not added]
        for ids, mask in zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True)
    ]
    known = [[token for token in ids if token != unknown] for ids in plain]
    read_back = tokenizer.batch_decode(known, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    for row, text in enumerate(texts):
        ids = encoded["input_ids"][row]
        coverage.lengths.append(len(ids))
        coverage.truncated_rows += len(ids) > limit
        coverage.largest_id = max(coverage.largest_id, *ids, -1)
        coverage.special_rows += not special.isdisjoint(plain[row])
        missed = len(plain[row]) - len(known[row])
        coverage.unknown_tokens += missed
        coverage.unknown_rows += missed > 0
        if missed and not tokenizer.is_fast:
            continue  # Without offsets nobody knows which characters became unknown.
        spans = encoded["offset_mapping"][row] if missed else []
        pieces = [
            text[start:end] for (start, end), token in zip(spans, ids, strict=False) if token == unknown
        ]
        _compare(text, read_back[row], pieces, coverage)


def _compare(text: str, read_back: str, unknown_pieces: list[str], coverage: Coverage) -> None:
    """Count what a text lost on its way through the tokenizer."""
    expected, found = _essence(text), _essence(read_back)
    if expected == found:
        return
    lost = Counter(expected) - Counter(found)
    if coverage.unknown is not None:
        coverage.unknown.update(unknown_pieces)
    for piece in unknown_pieces:
        lost -= Counter(_essence(piece))
    if lost:
        coverage.lost_rows += 1
        if coverage.lost is not None:
            coverage.lost.update(_origins(text, read_back, lost.keys()))
    elif not unknown_pieces:
        coverage.altered_rows += 1


def _origins(text: str, read_back: str, lost: Iterable[str]) -> list[str]:
    """Return the characters, as they stand in the text, that account for what is lost of their essence."""
    missing = set(lost)
    return [
        letter
        for letter in dict.fromkeys(text)
        if letter not in read_back and not missing.isdisjoint(_essence(letter))
    ] or sorted(missing)


def _essence(text: str) -> str:
    """Return what every sound tokenizer keeps of a text.

    Compatibility decomposition and case folding; without combining marks, white space, control, format and
    unassigned characters, the replacement character, and the mark that SentencePiece writes for a space.
    """
    if text.isascii():
        return "".join(text.lower().split()).translate(_ASCII_CONTROL)
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(
        letter
        for letter in folded
        if letter not in "\ufffd▁"
        and unicodedata.category(letter)[0] not in "CZ"
        and unicodedata.category(letter) != "Mn"
    )


_ASCII_CONTROL = dict.fromkeys([*range(32), 127])


def _most_common(counts: Counter[str] | None) -> tuple[str, ...]:
    """Return the most frequent entries."""
    return tuple(entry for entry, _ in (counts or Counter()).most_common(EXAMPLES))
