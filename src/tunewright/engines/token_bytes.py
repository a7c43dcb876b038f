"""The bytes that a single token stands for, which decoding it alone doesn't tell: it may be a part of a character."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

BYTE = re.compile(r"<0x([0-9A-F]{2})>")
"""A byte as SentencePiece's vocabularies write it."""
BLANK = "\N{LOWER ONE EIGHTH BLOCK}"
"""A blank as SentencePiece's vocabularies write it."""
KEPT = 65_536


class TokenBytes:
    """Looks tokens up.

    Args:
        tokenizer: A fast Transformers tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401
        self._tokenizer = tokenizer
        self._added = set(tokenizer.added_tokens_decoder)
        decoder = tokenizer.backend_tokenizer.decoder
        kinds = decoder.__getstate__() if decoder else b""
        self._is_byte_level = b'"ByteLevel"' in kinds
        self.of = lru_cache(KEPT)(self._of)
        """Returns the bytes of a token."""

    def _of(self, number: int) -> bytes:
        piece: str = self._tokenizer.convert_ids_to_tokens(number) or ""
        if number in self._added:
            return piece.encode()
        if self._is_byte_level:
            return b"".join(_letters().get(letter, letter.encode()) for letter in piece)
        if found := BYTE.fullmatch(piece):
            return bytes.fromhex(found[1])
        return piece.replace(BLANK, " ").encode()


@cache
def _letters() -> dict[str, bytes]:
    """Return the letters that stand for bytes in byte-level vocabularies (GPT-2).

    Bytes that Latin-1 prints stand for themselves; the others, in their order, are the letters from U+0100 on.
    """
    printed = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printed)
    found = {chr(byte): bytes([byte]) for byte in printed}
    return found | {chr(0x100 + at): bytes([byte]) for at, byte in enumerate(others)}
