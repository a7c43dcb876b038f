"""Bytes into text: find the encoding, decode in pieces, cut into lines of bounded length."""

from __future__ import annotations

import codecs
import encodings.aliases
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from tunewright.support.errors import InputError, nearest

SCAN_BYTES = 64 << 20
"""Bytes from the start of a file that must agree with its encoding; later ones are judged row by row."""
CHUNK_BYTES = 1 << 20
GUESS_BYTES = 64 << 10
"""Bytes of lines with non-ASCII characters that the guess among legacy encodings looks at."""
MAX_ROW_CHARACTERS = 4_000_000
"""A row longer than this is rejected; it bounds the memory that one line may take."""

UNDECODABLE = "\udcff"
"""Stands for bytes that the encoding doesn't know. No decoder gives it, and UTF-8 can't write it."""
MARKING = "tunewright-marking"
"""Name of the error handler that gives ``UNDECODABLE``."""

# Longest first: the mark of UTF-32 begins with that of UTF-16.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What data is really saved in. The detector knows many more, and takes short Western texts for Baltic, DOS or
# Mac ones: those have to be told.
LEGACY_ENCODINGS = [
    *(f"cp{page}" for page in range(1250, 1257)),
    *("cp874", "koi8_r", "koi8_u", "cp932", "euc_jp", "gb18030", "big5", "cp949", "euc_kr"),
]
WESTERN = "cp1252"
CHAOS_MARGIN = 0.03
"""How much noisier than the best guess the Western encoding may be and still be taken: it is the commonest."""
NULS_OF_UTF16 = 0.3
NULS_OF_BINARY = 0.01
NON_ASCII = re.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding and what was odd about it."""

    name: str
    notes: tuple[str, ...] = ()


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Replace undecodable bytes by the mark."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return UNDECODABLE, error.end


codecs.register_error(MARKING, _mark)


def known_encoding(name: str) -> str:
    """Return Python's name of an encoding that the user gave.

    Raises:
        InputError: When there is none of that name.
    """
    try:
        found = codecs.lookup(name)
        decoder = codecs.getincrementaldecoder(name)(MARKING)
        text = isinstance(decoder.decode(b"a\n\x00\x00", True), str)
    except (LookupError, AssertionError, AttributeError, TypeError, ValueError):
        text = False  # codecs from bytes to bytes, such as base64, fail in ways of their own
    if not text:
        known = sorted(set(encodings.aliases.aliases.values()) | {"utf-8", "utf-8-sig", "latin-1"})
        raise InputError(
            f"'{name}' is not a text encoding",
            place="data.encoding",
            mend=nearest(name, known) or "try utf-8, cp1252 or latin-1",
        )
    return found.name


def detect_encoding(stream: IO[bytes], *, place: str) -> Encoding:
    """Find the encoding of a text: byte order mark, UTF-8, UTF-16, else the likeliest legacy one.

    Args:
        stream: The file, at its start.
        place: The file's name, for messages.

    Raises:
        InputError: When the bytes are no text.
    """
    head = stream.read(CHUNK_BYTES)
    for mark, name in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return Encoding(name)
    if wide := _wide_encoding(head):
        return Encoding(wide, ("the file is UTF-16 without a byte order mark",))
    if head.count(0) > NULS_OF_BINARY * len(head):
        raise InputError(
            "is not a text file", place=place, mend="set data.format, or export it as CSV or JSONL"
        )
    return _scan(head, stream)


def text_chunks(stream: IO[bytes], encoding: str) -> Iterator[str]:
    """Decode a stream piece by piece; undecodable bytes become ``UNDECODABLE``."""
    decoder = codecs.getincrementaldecoder(encoding)(MARKING)
    start = True
    while chunk := stream.read(CHUNK_BYTES):
        text = decoder.decode(chunk)
        if start and text:
            text, start = text.removeprefix("\ufeff"), False
        yield text
    yield decoder.decode(b"", True)


def lines(chunks: Iterator[str], terminator: str = "\n") -> Iterator[str]:
    """Cut text into lines that keep their terminator.

    A line longer than ``MAX_ROW_CHARACTERS`` comes cut to one character more than that, and the rest of it is
    skipped: memory stays bounded whatever the file holds.
    """
    carried: list[str] = []
    length = 0
    for chunk in chunks:
        *whole, rest = chunk.split(terminator)
        for piece in whole:
            line = "".join((*carried, piece, terminator)) if carried else piece + terminator
            yield line if length + len(piece) < MAX_ROW_CHARACTERS else line[: MAX_ROW_CHARACTERS + 1]
            carried, length = [], 0
        if rest and length <= MAX_ROW_CHARACTERS:
            carried.append(rest)
            length += len(rest)
    if carried:
        yield "".join(carried)[: MAX_ROW_CHARACTERS + 1]


def line_terminator(sample: str) -> str:
    """Return what ends the lines of a sample: a line feed, or a lone carriage return on very old files."""
    return "\r" if "\r" in sample and "\n" not in sample else "\n"


def _wide_encoding(head: bytes) -> str | None:
    """Tell UTF-16 without a mark by where its zero bytes stand."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = max(len(head) // 2, 1)
    if odd > NULS_OF_UTF16 * half and even < NULS_OF_BINARY * half:
        return "utf-16-le"
    if even > NULS_OF_UTF16 * half and odd < NULS_OF_BINARY * half:
        return "utf-16-be"
    return None


def _scan(head: bytes, stream: IO[bytes]) -> Encoding:
    """Decode the start of the file as UTF-8; guess when more is wrong than right."""
    decoder = codecs.getincrementaldecoder("utf-8")(MARKING)
    right = wrong = scanned = 0
    odd_lines = bytearray()
    chunk = head
    while chunk and scanned < SCAN_BYTES:
        text = decoder.decode(chunk)
        scanned += len(chunk)
        if not text.isascii():
            here = text.count(UNDECODABLE)
            wrong += here
            right += sum(1 for _ in NON_ASCII.finditer(text)) - here
            if len(odd_lines) < GUESS_BYTES:
                odd_lines += b"".join(line for line in chunk.splitlines(keepends=True) if not line.isascii())
        chunk = stream.read(CHUNK_BYTES)
    if not wrong:
        return Encoding("utf-8")
    if right >= wrong:
        note = f"the file is UTF-8 with {wrong:,} undecodable bytes or runs of them: rows that hold them are rejected"
        return Encoding("utf-8", (note,))
    name = _guess(bytes(odd_lines[:GUESS_BYTES]))
    return Encoding(
        name, (f"the file is not UTF-8; it reads as {name} (set data.encoding if that is wrong)",)
    )


def _guess(sample: bytes) -> str:
    """Guess a legacy encoding; the Western one wins ties, and unknown bytes mean Latin-1."""
    from charset_normalizer import from_bytes

    matches = from_bytes(sample, cp_isolation=LEGACY_ENCODINGS)
    best = matches.best()
    if best is not None:
        western = [match for match in matches if WESTERN in match.could_be_from_charset]
        if not western or western[0].chaos > best.chaos + CHAOS_MARGIN:
            return best.encoding
    try:
        sample.decode(WESTERN)
    except UnicodeDecodeError:
        return "latin-1"
    return WESTERN
