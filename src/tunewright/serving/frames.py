"""What front and worker say to each other: MessagePack frames over a socket, each after its length.

No pickle: a frame can hold nothing but what is written here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec

from tunewright.engines.interface import Finish, Sampling, TokenScore  # noqa: TC001 -- msgspec reads the annotations

HEADER = struct.Struct("<I")
"""Length of the frame that follows."""
MOST_WORDS = 300


class Work(msgspec.Struct, tag="work", array_like=True, frozen=True):
    """Front to worker: score one batch."""

    number: int
    ids: list[list[int]]
    """Token ids of each text, without padding."""
    with_features: bool = False
    """Whether features are wanted, too: they are large."""


class Write(msgspec.Struct, tag="write", array_like=True, frozen=True):
    """Front to worker: go on from a prompt."""

    number: int
    ids: list[int]
    """Token ids of the prompt, and of what was written of its answer before."""
    sampling: Sampling
    adapter: str = ""
    """The adapter to write with; empty for the copy itself."""


class Leave(msgspec.Struct, tag="leave", array_like=True, frozen=True):
    """Front to worker: nobody reads that answer any more."""

    number: int


class Bring(msgspec.Struct, tag="bring", array_like=True, frozen=True):
    """Front to worker: take an adapter in."""

    name: str
    folder: str
    """Its copy."""


class Forget(msgspec.Struct, tag="forget", array_like=True, frozen=True):
    """Front to worker: give an adapter's memory back; nothing is written with it any more."""

    name: str


class Opened(msgspec.Struct, tag="opened", array_like=True, frozen=True):
    """Worker to front: the copy is open."""

    lanes: int
    """Batches that may be in work at once; of a language model, answers."""


class Brought(msgspec.Struct, tag="brought", array_like=True, frozen=True):
    """Worker to front: an adapter is there, or can't be used."""

    name: str
    why: str = ""
    """Why it can't; empty when it is there."""


class Scored(msgspec.Struct, tag="scored", array_like=True, frozen=True):
    """Worker to front: one batch, scored."""

    number: int
    logits: bytes
    """float32 (texts, labels)."""
    features: bytes
    """float32 (texts, features); empty when they weren't wanted."""
    seconds: float
    """Time that the engine took."""


class Piece(msgspec.Struct, array_like=True, frozen=True):
    """What was written for one request in a step."""

    number: int
    ids: list[int]
    scores: list[TokenScore]
    """One a token, where asked for."""
    finish: Finish | None


class Written(msgspec.Struct, tag="written", array_like=True, frozen=True):
    """Worker to front: one step of a language model."""

    pieces: list[Piece]
    seconds: float
    """Time that the engine took."""


class Failed(msgspec.Struct, tag="failed", array_like=True, frozen=True):
    """Worker to front: one batch or request can't be answered, or the copy can't be opened (number 0)."""

    number: int
    why: str


Told = Work | Write | Leave | Bring | Forget
Said = Opened | Brought | Scored | Written | Failed
_pack = msgspec.msgpack.Encoder().encode
_unpack_told: Callable[[bytes], Told] = msgspec.msgpack.Decoder(Told).decode
_unpack_said: Callable[[bytes], Said] = msgspec.msgpack.Decoder(Said).decode


def framed(message: Told | Said) -> bytes:
    """Return a message as bytes on the wire."""
    body = _pack(message)
    return HEADER.pack(len(body)) + body


def read_told(body: bytes) -> Told:
    """Read what the front said."""
    return _unpack_told(body)


def read_said(body: bytes) -> Said:
    """Read what the worker said."""
    return _unpack_said(body)


def in_a_line(error: Exception) -> str:
    """Return what went wrong as ``Failed`` says it."""
    return " ".join(str(error).split())[:MOST_WORDS] or type(error).__name__
