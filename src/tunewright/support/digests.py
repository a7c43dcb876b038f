"""Content digests: the identity that every artefact carries."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

CHUNK = 1 << 20


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> str:  # noqa: ANN401
    """Return the SHA-256 of a JSON-like value, independent of key order."""
    return digest_bytes(
        json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str).encode()
    )


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            state.update(piece)
    return state.hexdigest()


def digest_tree(root: Path) -> str:
    """Return one SHA-256 over the relative names and contents of every file below ``root``."""
    files = sorted(item for item in root.rglob("*") if item.is_file())
    return digest_json([[item.relative_to(root).as_posix(), digest_file(item)] for item in files])
