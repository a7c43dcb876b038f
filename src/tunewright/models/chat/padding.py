"""Which token pads: one that neither ends an answer nor opens a text, so that nothing learned is spoilt."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.models.chat.families import Family

PadSource = Literal["own", "reserved", "unknown", "added"]
NEW_PAD = "<|pad|>"
RESERVED = re.compile(r"pad|reserved|unused|placeholder", re.IGNORECASE)
"""Names that makers give to tokens which no text contains."""
BYTES = 256


def choose_pad(tokenizer: Any, family: Family | None, stops: Sequence[str]) -> tuple[str, PadSource]:  # noqa: ANN401
    """Choose a token that neither ends an answer nor opens a text: its own, else a reserved one, else a new one."""
    vocabulary, unknown = tokenizer.get_vocab(), tokenizer.unk_token
    taken = {*stops, tokenizer.bos_token}
    own = tokenizer.pad_token
    if own is not None and own not in taken:
        return str(own), "own"
    spare = list(family.pad_tokens if family else ())
    spare += [str(token) for token in tokenizer.added_tokens_decoder.values() if RESERVED.search(str(token))]
    for token in spare:
        if token in vocabulary and token not in taken:
            return token, "reserved"
    if unknown is not None and unknown not in taken and _knows_every_byte(tokenizer):
        return str(unknown), "unknown"
    return NEW_PAD, "added"


def _knows_every_byte(tokenizer: Any) -> bool:  # noqa: ANN401
    """Tell whether any text is spelt in known tokens, so that the unknown token never occurs."""
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = tokenizer.get_vocab()
    if described["model"].get("byte_fallback"):
        # The flag alone isn't enough: there are tokenizers that set it and have no byte tokens.
        return all(f"<0x{byte:02X}>" in vocabulary for byte in range(BYTES))
    from tokenizers.pre_tokenizers import ByteLevel

    parts = json.dumps([described.get("pre_tokenizer"), described.get("normalizer")])
    return '"ByteLevel"' in parts and all(letter in vocabulary for letter in ByteLevel.alphabet())
