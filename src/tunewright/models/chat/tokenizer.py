"""A tokenizer made ready for causal training: padding that isn't the end token, stop tokens, and what was changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunewright.models.chat.families import Family, find_family
from tunewright.models.chat.padding import PadSource, choose_pad
from tunewright.models.chat.stops import declared_stops, known_stops, turn_end_of
from tunewright.models.chat.template import ChatTemplate
from tunewright.support.errors import InputError

ALL_LINEAR = ("all-linear",)
"""PEFT's word for every linear layer, for models of no known family."""


@dataclass(frozen=True, slots=True)
class TokenizerSetup:
    """What a tokenizer brought along, and what was changed for training."""

    family: str | None
    pad_token: str
    pad_id: int
    pad_source: PadSource
    bos_token: str | None
    bos_id: int | None
    adds_bos: bool
    """Whether the tokenizer puts it before plain text by itself."""
    trims_offsets: bool
    """Whether it leaves white space out of the characters that it says a token stands for."""
    eos_token: str | None
    eos_id: int | None
    stop_tokens: tuple[str, ...]
    """Any of them ends an answer: the end token, the template's end of turn, the generation settings'."""
    stop_ids: tuple[int, ...]
    turn_end: str | None
    """The token that the chat template writes behind an answer."""
    vocabulary: int
    """Tokens, an added one included."""
    embedding_rows: int | None
    """Of the model; ``None`` for a folder without configuration."""
    rows_needed: int | None
    """Rows that the embeddings must grow to before training; ``None`` when they suffice."""
    context: int | None
    """Tokens that the model was made to read; ``None`` when its files don't say."""
    lora_modules: tuple[str, ...]
    changes: tuple[str, ...]
    """What differs from the files, a line each."""
    notes: tuple[str, ...]
    """What is odd and no reason to stop."""


@dataclass(frozen=True, slots=True)
class ChatTokenizer:
    """A tokenizer set up for causal training, with its chat template."""

    tokenizer: Any
    setup: TokenizerSetup
    template: ChatTemplate | None
    faults: tuple[str, ...] = ()
    """Special tokens that other engines would read otherwise, a line each."""


def open_chat_tokenizer(folder: Path, *, name: str = "", template: Path | None = None) -> ChatTokenizer:
    """Load a model folder's tokenizer for training on the right-padded rows of a causal model.

    Args:
        folder: Holds the tokenizer's files; weights aren't read.
        name: The catalogue name or hub id that it came from, if any.
        template: A file with the chat template to use instead of the tokenizer's.

    Raises:
        InputError: When there is no usable tokenizer, it reaches beyond the model's embeddings, or the template
            file can't be read.
    """
    from transformers import AutoTokenizer

    from tunewright.models.tokenizers import quiet_transformers, special_token_faults

    settings = _read_json(folder / "config.json")
    try:
        with quiet_transformers():
            # As arguments these are saved with the tokenizer; set later as attributes they would be lost.
            tokenizer = AutoTokenizer.from_pretrained(
                folder,
                padding_side="right",
                truncation_side="right",
                local_files_only=True,
                trust_remote_code=False,
            )
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"the tokenizer can't be loaded ({first})",
            place=str(folder),
            mend="download or save the model again with its tokenizer files",
        ) from error
    if not len(tokenizer) or not tokenizer.is_fast:
        raise InputError(
            "has no tokenizer.json, which tells tokens their characters",
            place=str(folder),
            mend="save the tokenizer again with Transformers",
        )
    source = _read_template(template) if template else tokenizer.chat_template
    rendering = ChatTemplate(source, dict(tokenizer.special_tokens_map)) if source else None
    faults = special_token_faults(tokenizer, folder)
    family = find_family(name or str(folder), str(settings.get("model_type", "")), tokenizer.get_vocab())
    generation = _read_json(folder / "generation_config.json")
    setup = configure(tokenizer, rendering, family=family, settings=settings, generation=generation)
    side = _read_json(folder / "tokenizer_config.json").get("padding_side", "right")
    if side != "right":
        setup = replace(setup, changes=(_moved_padding(side), *setup.changes))
    return ChatTokenizer(tokenizer, setup, rendering, faults)


def configure(
    tokenizer: Any,  # noqa: ANN401
    template: ChatTemplate | None,
    *,
    family: Family | None = None,
    settings: Mapping[str, Any] | None = None,
    generation: Mapping[str, Any] | None = None,
) -> TokenizerSetup:
    """Give a tokenizer a padding token that ends nothing, pad on the right, and say what was changed.

    The tokenizer is changed in these two ways and no other.

    Args:
        tokenizer: A fast Transformers tokenizer.
        template: Its chat template, if it has one.
        family: Of the model, if it is known.
        settings: ``config.json``.
        generation: ``generation_config.json``.

    Raises:
        InputError: When token ids reach beyond the model's embeddings.
    """
    settings, generation = settings or {}, generation or {}
    rows = _embedding_rows(settings)
    largest = max(tokenizer.get_vocab().values())
    if rows is not None and largest >= rows:
        raise InputError(
            f"the tokenizer gives token id {largest:,}, the model embeds {rows:,}",
            place=str(tokenizer.name_or_path),
            mend="take the tokenizer that the model was trained with",
        )
    turn_end = turn_end_of(tokenizer, template)
    declared = declared_stops(tokenizer, settings, generation)
    stops = list(
        dict.fromkeys([*declared, *known_stops(tokenizer, family), *([turn_end] if turn_end else [])])
    )
    changes: list[str] = []
    if tokenizer.padding_side != "right":
        changes.append(_moved_padding(tokenizer.padding_side))
        tokenizer.padding_side = "right"
    former = tokenizer.pad_token
    pad, source = choose_pad(tokenizer, family, stops)
    if source == "added":
        tokenizer.add_special_tokens({"pad_token": pad})
    elif pad != former:
        tokenizer.pad_token = pad
    if pad != former:
        why = (
            "there was none" if former is None else f"{former} {'ends' if former in stops else 'opens'} texts"
        )
        changes.append(f"padding token {pad} ({source}): {why}")
    pad_id = int(tokenizer.convert_tokens_to_ids(pad))
    grown = pad_id + 1 if rows is not None and pad_id >= rows else None
    if grown:
        changes.append(f"the embeddings must grow from {rows:,} to {grown:,} rows for {pad}")
    return TokenizerSetup(
        family=family.name if family else None,
        pad_token=pad,
        pad_id=pad_id,
        pad_source=source,
        bos_token=tokenizer.bos_token,
        bos_id=tokenizer.bos_token_id,
        adds_bos=_adds_bos(tokenizer),
        trims_offsets=_trims_offsets(tokenizer),
        eos_token=tokenizer.eos_token,
        eos_id=tokenizer.eos_token_id,
        stop_tokens=tuple(stops),
        stop_ids=tuple(int(tokenizer.convert_tokens_to_ids(token)) for token in stops),
        turn_end=turn_end,
        vocabulary=len(tokenizer),
        embedding_rows=rows,
        rows_needed=grown,
        context=_context(tokenizer, settings),
        lora_modules=family.lora_modules if family else ALL_LINEAR,
        changes=tuple(changes),
        notes=tuple(_notes(tokenizer, template, turn_end, declared)),
    )


def _moved_padding(side: str) -> str:
    return f"padding stands on the right, no longer on the {side}"


def _notes(
    tokenizer: Any,  # noqa: ANN401
    template: ChatTemplate | None,
    turn_end: str | None,
    declared: list[str],
) -> Iterator[str]:
    """Say what is odd and yet no reason to stop."""
    if turn_end and turn_end not in declared:
        yield f"{turn_end} ends a turn and the model's files don't stop there: add it to generation_config.json"
    if template is None:
        return
    source = template.source if isinstance(template.source, str) else " ".join(template.source.values())
    if "strftime_now" in source:
        yield "the chat template writes today's date: rows rendered on another day differ"
    is_written = "bos_token" in source or str(tokenizer.bos_token) in source
    if not is_written and _adds_bos(tokenizer):
        yield f"the chat template leaves out {tokenizer.bos_token}, which plain text gets"


def _adds_bos(tokenizer: Any) -> bool:  # noqa: ANN401
    """Tell whether a tokenizer puts its opening token before plain text by itself."""
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("a")["input_ids"][:1] == [bos]


def _trims_offsets(tokenizer: Any) -> bool:  # noqa: ANN401
    """Tell whether tokens read back white space that none of them stands for, as GPT-2's and Llama 3's do."""
    text = "a  b"
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    covered = {at for start, end in encoded["offset_mapping"] for at in range(start, end)}
    back = tokenizer.decode(encoded["input_ids"], clean_up_tokenization_spaces=False)
    return back == text and len(covered) < len(text)


def _context(tokenizer: Any, settings: Mapping[str, Any]) -> int | None:  # noqa: ANN401
    """Return the longest input that model and tokenizer were made for."""
    from tunewright.models.tokenizers import UNLIMITED

    language = {**settings, **(settings.get("text_config") or {})}
    limits = [language.get("max_position_embeddings"), tokenizer.model_max_length]
    return min((int(each) for each in limits if isinstance(each, int) and 0 < each < UNLIMITED), default=None)


def _embedding_rows(settings: Mapping[str, Any]) -> int | None:
    """Return the size of the embedding table, of the language part where a model has several."""
    inner = settings.get("text_config")
    found = settings.get("vocab_size", inner.get("vocab_size") if isinstance(inner, dict) else None)
    return found if isinstance(found, int) else None


def _read_template(path: Path) -> str:
    """Read a chat template's file.

    Raises:
        InputError: When there is none, or it isn't text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fact = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"can't be read as a chat template ({fact})", place=str(path), mend="check --template"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    """Return an optional JSON file of a model folder; nothing when it is absent.

    Raises:
        InputError: When it is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        raise InputError(
            f"can't be read ({error})", place=str(path), mend="download or save the model again"
        ) from error
    return found if isinstance(found, dict) else {}
