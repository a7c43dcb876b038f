"""What surrounds a language model's weights: tokenizer, template, stop tokens and limits, in every copy the same."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from tunewright.engines.interface import Source
from tunewright.engines.token_bytes import TokenBytes
from tunewright.models.language.storage import WEIGHT_FILES, read_description
from tunewright.support.digests import digest_file, digest_json
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import read_json

if TYPE_CHECKING:
    from tunewright.data.chat.rows import ChatRow, Message
    from tunewright.engines.text_side import SplitText
    from tunewright.models.chat.tokenizer import ChatTokenizer
    from tunewright.models.language.model import LanguageModel
    from tunewright.models.language.prompts import Prompt

FOLDER = "language"
"""Part of a copy that holds all but the weights."""
TOKENIZER = "tokenizer.json"


class LanguageFacts(BaseModel):
    """What an engine must know about a language model besides its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stop_ids: tuple[int, ...]
    """Any of them ends an answer."""
    pad_id: int
    max_length: int
    """Tokens of prompt and answer together."""
    vocabulary: int
    """Rows of the embeddings: greater ids stand for nothing."""
    family: str
    """Name by which the tokenizer's family was found."""
    tokenizer_digest: str
    template_digest: str
    """Of the chat template's source; of nothing where there is none."""

    @classmethod
    def of(cls, model: LanguageModel, folder: Path) -> LanguageFacts:
        """Read them off a model and the folder that it was saved to."""
        config = read_json(folder / "config.json")
        rows = config.get("vocab_size") or config.get("text_config", {}).get("vocab_size")
        family = model.base.name if model.base else ""
        return cls.beside(
            model.chat, folder, max_length=model.max_length, vocabulary=int(rows), family=family
        )

    @classmethod
    def beside(
        cls, chat: ChatTokenizer, folder: Path, *, max_length: int, vocabulary: int, family: str
    ) -> LanguageFacts:
        """Put them together of a tokenizer, the folder that it was saved to, and what the weights' description says.

        Raises:
            InputError: When it has no ``tokenizer.json``.
        """
        require_tokenizer(folder)
        return cls(
            stop_ids=chat.setup.stop_ids,
            pad_id=chat.setup.pad_id,
            max_length=max_length,
            vocabulary=vocabulary,
            family=family,
            tokenizer_digest=digest_file(folder / TOKENIZER),
            template_digest=_template_digest(chat),
        )


def language_source(
    model: LanguageModel, folder: Path, *, probes: Sequence[Sequence[int]], bound: float
) -> tuple[Source, LanguageFacts]:
    """Write a language model as an engine converts it: whole, an adapter folded in and compared.

    Args:
        model: What was trained; it isn't changed.
        folder: Where to write.
        probes: Token ids on which adapter and merged model are compared.
        bound: Largest difference of a logit that merging may make.

    Raises:
        InputError: When its tokenizer has no ``tokenizer.json``.
        TunewrightError: When the merged model would answer otherwise.
    """
    digest = model.digest()
    whole = model.merged(probes, bound=bound)[0] if model.is_adapter else model
    whole.save(folder)
    require_tokenizer(folder)
    if whole is not model:
        digest = digest_json([digest, whole.digest()])
    config = read_json(folder / "config.json")
    return Source("generation", folder, config, digest), LanguageFacts.of(whole, folder)


def require_tokenizer(folder: Path) -> None:
    """Refuse a model whose tokenizer engines can't open.

    Raises:
        InputError: When there is no ``tokenizer.json``.
    """
    if not (folder / TOKENIZER).is_file():
        raise InputError("its tokenizer has no tokenizer.json, which engines need", place=str(folder))


def copy_language_side(source: Path, copy: Path) -> None:
    """Put all but the weights of a Transformers folder into a copy."""
    weights = {path for pattern in WEIGHT_FILES for path in source.glob(pattern)}
    for path in sorted(source.rglob("*")):
        if path.is_file() and path not in weights:
            place = copy / FOLDER / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def max_length(source: Source) -> int:
    """Return the tokens of prompt and answer together that a model was saved with."""
    return read_description(source.folder).max_length


def attention_window(config: Mapping[str, Any]) -> int:
    """Return the last tokens that some layers of a model see; 0 where all see everything."""
    settings = {**config, **(config.get("text_config") or {})}
    kinds = settings.get("layer_types")
    slides = "sliding_attention" in kinds if kinds else settings.get("use_sliding_window", True)
    return int(settings.get("sliding_window") or 0) if slides else 0


def window_refusal(source: Source, runtime: str) -> str:
    """Say why a model isn't converted whose layers see less than its texts are long; empty where they see all."""
    window, longest = attention_window(source.config), max_length(source)
    if not 0 < window < longest:
        return ""
    return (
        f"some layers see the last {window:,} tokens only, and {runtime} gets that wrong for texts up to {longest:,}; "
        "use transformers, or lower max_length"
    )


class LanguageSide:
    """Rows in, prompts and token ids out, as in training.

    Args:
        chat: Tokenizer and template.
        facts: Their surroundings.
    """

    def __init__(self, chat: ChatTokenizer, facts: LanguageFacts) -> None:
        self.chat = chat
        self.facts = facts
        self.token_bytes = TokenBytes(chat.tokenizer).of
        """Returns the bytes of a token."""

    @classmethod
    def open(cls, copy: Path, facts: LanguageFacts) -> LanguageSide:
        """Open tokenizer and template of a copy.

        Raises:
            InputError: When they can't be read.
            TunewrightError: When they aren't those of the model that was converted.
        """
        from tunewright.models.chat.tokenizer import open_chat_tokenizer

        folder = copy / FOLDER
        chat = open_chat_tokenizer(folder, name=facts.family)
        found = {
            "tokenizer": (digest_file(folder / TOKENIZER), facts.tokenizer_digest),
            "chat template": (_template_digest(chat), facts.template_digest),
        }
        for what, (own, wanted) in found.items():
            if own != wanted:
                raise TunewrightError(
                    f"its {what} is not the one that the model was trained with",
                    place=str(folder),
                    mend="convert again",
                )
        return cls(chat, facts)

    def prompt(self, row: ChatRow) -> Prompt:
        """Return what the model reads before it answers a row.

        Raises:
            RefusedRowError: When the template refuses it.
        """
        from tunewright.models.language.prompts import prompt_of

        return prompt_of(row, self.chat)

    def conversation(self, messages: Sequence[Message]) -> Prompt:
        """Return a conversation with the head of an answer behind it.

        Raises:
            RefusedRowError: When there is no template, or it refuses the conversation.
        """
        from tunewright.models.language.prompts import render_prompt

        return render_prompt(messages, self.chat)

    def plain(self, text: str) -> Prompt:
        """Return a text to be gone on from, outside any template."""
        from tunewright.data.chat.rows import ChatRow
        from tunewright.models.language.prompts import prompt_of

        return prompt_of(ChatRow(kind="completion", prompt=text), self.chat)

    def split(self, text: str) -> SplitText:
        """Show the tokens of a plain text, and what of it each stands for."""
        from tunewright.engines.text_side import SplitText, Token

        tokenizer = self.chat.tokenizer
        found = tokenizer(text, return_offsets_mapping=True, verbose=False)
        ids = found["input_ids"]
        names = tokenizer.convert_ids_to_tokens(ids)
        parts = zip(ids, names, found["offset_mapping"], strict=True)
        tokens = [Token(number, name, text[start:end], start, end) for number, name, (start, end) in parts]
        longest = self.facts.max_length
        return SplitText(text, tuple(tokens[:longest]), max(0, len(tokens) - longest))

    def text(self, ids: Sequence[int]) -> str:
        """Return what tokens say, special ones left out."""
        return str(self.chat.tokenizer.decode(list(ids), skip_special_tokens=True))


def _template_digest(chat: ChatTokenizer) -> str:
    """Return the identity of a chat template."""
    return digest_json(chat.template.source if chat.template else None)
