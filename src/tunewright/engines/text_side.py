"""What happens to a text before an encoder sees it: cleaning, tokens, the cut; without torch or Transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from tunewright.data.text_cleaning import clean_text
from tunewright.support.digests import digest_file, digest_json
from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from tunewright.models.classifier import Classifier

TOKENIZER = "tokenizer.json"


class TextFacts(BaseModel):
    """What the tokenizer's file alone doesn't say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label_names: tuple[str, ...]
    """Position is the class id."""
    max_length: int
    """Tokens a text is cut at, special ones included."""
    cleaning: dict[str, Any]
    pad_id: int
    padding_side: str
    blank_id: int
    """Stands for an empty text where the tokenizer adds no token of its own."""

    @classmethod
    def of(cls, classifier: Classifier) -> TextFacts:
        """Read them off a classifier."""
        tokenizer = classifier.tokenizer
        return cls(
            label_names=classifier.label_names,
            max_length=classifier.max_length,
            cleaning=classifier.cleaning,
            pad_id=tokenizer.pad_token_id,
            padding_side=tokenizer.padding_side,
            blank_id=classifier.blank_id,
        )


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a text."""

    id: int
    token: str
    """As it stands in the vocabulary."""
    text: str
    """What it covers; empty for one that the tokenizer adds."""
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SplitText:
    """A cleaned text and its tokens; offsets are in code points of that text."""

    text: str
    tokens: tuple[Token, ...]
    cut: int
    """Tokens beyond ``max_length``."""


class TextSide:
    """Texts in, token ids out.

    Args:
        tokenizer: A ``tokenizers.Tokenizer``.
        facts: Its surroundings.
        digest: Identity of both.
    """

    def __init__(self, tokenizer: Any, facts: TextFacts, digest: str) -> None:  # noqa: ANN401
        tokenizer.no_padding()
        tokenizer.enable_truncation(facts.max_length)
        self._tokenizer = tokenizer
        self.facts = facts
        self.digest = digest

    @classmethod
    def open(cls, folder: Path, facts: TextFacts) -> TextSide:
        """Open the tokenizer that lies in a folder.

        Raises:
            InputError: When it is missing.
            TunewrightError: When it is damaged.
        """
        from tokenizers import Tokenizer

        path = folder / TOKENIZER
        if not path.is_file():
            raise InputError("has no tokenizer.json", place=str(folder), mend="use the engine transformers")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises bare Exception
            raise TunewrightError(f"is damaged ({error})", place=str(path), mend="convert again") from error
        return cls(tokenizer, facts, digest_json([digest_file(path), facts.model_dump(mode="json")]))

    def clean(self, text: str) -> str:
        """Clean a text as training did."""
        return clean_text(text, self.facts.cleaning)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Clean and tokenise, cut at ``max_length``; every text has at least one token.

        Raises:
            InputError: When a row isn't text.
        """
        for row, text in enumerate(texts, start=1):
            if not isinstance(text, str):
                raise InputError(f"is {type(text).__name__}, not text", place=f"row {row}")
        cleaned = [self.clean(text) for text in texts]
        blank = [self.facts.blank_id]
        return [each.ids or blank for each in self._tokenizer.encode_batch_fast(cleaned)]

    def split(self, text: str) -> SplitText:
        """Show the tokens that ``encode`` gives for a text, and what of the text each stands for."""
        cleaned = self.clean(text)
        found = self._tokenizer.encode(cleaned)
        parts = zip(found.ids, found.tokens, found.offsets, strict=True)
        tokens = [
            Token(number, token, cleaned[start:end], start, end) for number, token, (start, end) in parts
        ]
        if not tokens:
            blank = self.facts.blank_id
            tokens = [Token(blank, self._tokenizer.id_to_token(blank) or "", "", 0, 0)]
        cut = sum(row.special_tokens_mask.count(0) for row in found.overflowing)
        return SplitText(cleaned, tuple(tokens), cut)
