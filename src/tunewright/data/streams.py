"""Files as streams of bytes: opened wherever they lie, decompressed on the way, their faults in one line."""

from __future__ import annotations

import gzip
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tunewright.support.errors import InputError, TunewrightError

FORMAT_OF_SUFFIX = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSION_OF_SUFFIX = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zip": "zip"}
STORE_PACKAGES = frozenset(
    (
        *("aiohttp", "aiobotocore", "botocore", "s3fs", "gcsfs", "adlfs", "azure", "google", "fsspec"),
        *("huggingface_hub", "requests", "urllib3", "httpx", "httpcore", "_lzma", "zlib"),
    )
)
"""Packages whose errors mean that a store, the way to it or an archive is at fault, not this program."""
ENCRYPTED = 0x1
"""Flag bit of a zip member that needs a password."""
USER_INFO = re.compile(r"(\w://)[^/@\s]*@")
QUERY = re.compile(r"(\w://[^\s?#]*)[?#][^\s'\"),]*")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source.

    Args:
        name: What rows say they came from: the path inside the source.
        path: The path, as the file system knows it.
        filesystem: An fsspec file system; none for a local file.
    """

    name: str
    path: str
    filesystem: Any = None

    @property
    def place(self) -> str:
        """The path as messages show it."""
        return shown(self.path)

    @property
    def format(self) -> str | None:
        """The format that the name tells, compression aside."""
        return FORMAT_OF_SUFFIX.get(format_suffix(self.name))

    @property
    def compression(self) -> str | None:
        """The compression that the name tells."""
        return COMPRESSION_OF_SUFFIX.get(PurePosixPath(self.name.lower()).suffix)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the file for reading bytes, decompressed on the way.

        Raises:
            InputError: When it can't be opened or read on, or the archive is damaged.
        """
        with faults_of(self.place):
            raw = self._raw()
            with raw, _decompressed(raw, self) as stream:
                yield stream

    def _raw(self) -> IO[bytes]:
        """Open the file for its bytes as they are stored."""
        if self.filesystem is None:
            return Path(self.path).open("rb")
        stream: IO[bytes] = self.filesystem.open(self.path, "rb")
        return stream


@contextmanager
def faults_of(place: str) -> Iterator[None]:
    """Turn what can go wrong while reading ``place`` into one clear line.

    Raises:
        InputError: In place of errors of the file system, of archives and of stores.
    """
    try:
        yield
    except TunewrightError:
        raise
    except FileNotFoundError as error:
        if isinstance(error.__cause__, OSError):  # what fsspec makes of a dead connection
            why = f"can't be reached ({first_line(error.__cause__)})"
            raise InputError(why, place=place, mend="check the address and the network") from error
        raise InputError("no such file", place=place, mend="check data.source") from error
    except PermissionError as error:
        raise InputError(
            "may not be read", place=place, mend="give read permission, or credentials for the store"
        ) from error
    except (zipfile.BadZipFile, gzip.BadGzipFile, EOFError) as error:
        raise InputError(
            f"the compressed file is damaged or cut off ({error})", place=place, mend="copy it again"
        ) from error
    except OSError as error:
        raise InputError(
            f"can't be read ({first_line(error)})", place=place, mend="check the file and the connection"
        ) from error
    except Exception as error:
        if not _comes_from_a_store(error):
            raise
        raise InputError(
            f"the store can't be read ({first_line(error)})",
            place=place,
            mend="check the address, the network and the credentials",
        ) from error


def shown(text: str) -> str:
    """Return a URL, or a message that holds one, without what may be secret: user, password and query."""
    return QUERY.sub(r"\1", USER_INFO.sub(r"\1", text))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its kind when it says nothing."""
    if isinstance(error, OSError) and isinstance(error.strerror, str):
        return shown(error.strerror)
    lines = str(error).strip().splitlines()
    return shown(lines[0].strip()) if lines else type(error).__name__


def format_suffix(name: str) -> str:
    """Return the suffix that tells the format, in lower case, compression aside."""
    path = PurePosixPath(name.lower())
    return PurePosixPath(path.stem).suffix if path.suffix in COMPRESSION_OF_SUFFIX else path.suffix


@contextmanager
def _decompressed(raw: IO[bytes], file: SourceFile) -> Iterator[IO[bytes]]:
    """Wrap a raw stream so that it gives decompressed bytes."""
    if file.compression is None:
        yield raw
    elif file.compression == "zip":
        with zipfile.ZipFile(raw) as archive, archive.open(_only_member(archive, file)) as member:
            yield member
    else:
        from fsspec.compression import compr

        with compr[file.compression](raw, mode="rb") as stream:
            yield stream


def _only_member(archive: zipfile.ZipFile, file: SourceFile) -> str:
    """Return the one file in a zip archive that holds rows."""
    members = [
        item
        for item in archive.infolist()
        if not item.is_dir() and not any(part[0] in "._" for part in PurePosixPath(item.filename).parts)
    ]
    if len(members) != 1:
        raise InputError(
            f"the archive holds {len(members)} files and one is expected", place=file.place, mend="unpack it"
        )
    if members[0].flag_bits & ENCRYPTED:
        raise InputError("the archive needs a password", place=file.place, mend="unpack it")
    return members[0].filename


def _comes_from_a_store(error: Exception) -> bool:
    """Tell whether an error was raised by a store's own library or on the way to it."""
    return type(error).__module__.partition(".")[0] in STORE_PACKAGES
