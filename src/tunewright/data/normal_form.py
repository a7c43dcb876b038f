"""What "the same text" means: two normal forms, one to find contradictions, a coarser one to find leaks."""

from __future__ import annotations

import re
import unicodedata
from hashlib import blake2b

_NOT_WORD = re.compile(r"[\W_]+", re.ASCII)


def canonical(text: str) -> str:
    """Return the text without its differences of case, width and white space.

    Unicode NFKC, then full case folding, then NFKC again (folding can undo it), then runs of white space
    as one blank. Two rows with this form in common say the same thing: different labels on them are a
    contradiction. Punctuation stays, because "great :)" and "great :(" may rightly differ.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def words(text: str) -> str:
    """Return the letters, digits and combining marks of the canonical text, all else as one blank.

    A text with none of them (":-)", "???") keeps its canonical form, so that such texts stay apart.
    """
    form = canonical(text)
    if form.isascii():
        kept = _NOT_WORD.sub(" ", form)
    else:
        kept = "".join(character if _is_word(character) else " " for character in form)
    return " ".join(kept.split()) or form


def key_form(text: str) -> str:
    """Return :func:`words` without its blanks: what splits keep on one side.

    Texts that differ only in case, width, white space or punctuation have it in common, also where a
    mark joins or parts words ("e-mail", "e mail", "email").
    """
    return words(text).replace(" ", "")


def hash64(text: str) -> int:
    """Return a signed 64-bit BLAKE2b hash, the same on every machine and in every process."""
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _is_word(character: str) -> bool:
    """Tell whether a character is a letter, a digit or a mark on one."""
    return character.isalnum() or unicodedata.category(character).startswith("M")
