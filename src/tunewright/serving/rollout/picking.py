"""Which version a request gets: a share of all, the same for the same word."""

from __future__ import annotations

import hashlib


def takes_part(word: str, share: float, *, salt: str) -> bool:
    """Tell whether a request belongs to a share; one that belongs to it belongs to every larger share.

    Args:
        word: The caller's name, or the request's id.
        share: Between 0 and 1.
        salt: Names the rollout, so that it isn't always the same callers who come first.
    """
    digest = hashlib.blake2b(f"{salt}\0{word}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 < share
