"""Where a source lies: local files, files behind an fsspec URL, or a data set of the Hugging Face hub."""

from __future__ import annotations

import gzip
import importlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from tunewright.support.errors import InputError, MissingExtraError, TunewrightError, nearest

if TYPE_CHECKING:
    from tunewright.config.schema import DataConfig

Kind = Literal["local", "remote", "hub"]

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
CLOUD_PROTOCOLS = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "adl": "adlfs",
}
"""Protocol to the package that serves it, all in the extra ``cloud``."""
GLOB = frozenset("*?[")


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
    def format(self) -> str | None:
        """The format that the name tells, compression aside."""
        return FORMAT_OF_SUFFIX.get(_suffix(self.name))

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
        with faults_of(self.path):
            raw = self._raw()
            with raw, _decompressed(raw, self) as stream:
                yield stream

    def _raw(self) -> IO[bytes]:
        """Open the file for its bytes as they are stored."""
        if self.filesystem is None:
            return Path(self.path).open("rb")
        stream: IO[bytes] = self.filesystem.open(self.path, "rb")
        return stream


@dataclass(frozen=True, slots=True)
class Source:
    """A source with its files in the order in which they are read."""

    uri: str
    kind: Kind
    files: tuple[SourceFile, ...] = ()
    ignored: tuple[str, ...] = ()
    """Names in a folder that hold no rows (licences, notes)."""


@contextmanager
def faults_of(place: str) -> Iterator[None]:
    """Turn what can go wrong while reading ``place`` into one clear line."""
    try:
        yield
    except TunewrightError:
        raise
    except FileNotFoundError as error:
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


def locate(config: DataConfig, *, base_dir: Path) -> Source:
    """Find out what ``config.source`` means and list its files.

    A path that exists is always a path; only what can't be one is looked for on the hub.

    Raises:
        InputError: When there is no such file, folder or store, or a folder holds nothing to read.
        MissingExtraError: When the store needs a package that is not installed.
    """
    uri = config.source
    if not uri:
        raise InputError("is not set", place="data.source", mend="give a file, folder, URL or data set id")
    if uri.startswith("file://"):
        uri = urlsplit(uri).path
    if "://" in uri:
        return _remote(uri, config)
    path = base_dir / Path(uri).expanduser()
    if config.format == "hub":
        _refuse_shadowed(uri)
        return Source(uri, "hub")
    if GLOB & set(uri) and not path.exists():
        return _matching(uri, config, base_dir=base_dir)
    with faults_of(str(path)):
        if path.is_dir():
            names = sorted(item.relative_to(path).as_posix() for item in path.rglob("*") if item.is_file())
            files, ignored = _chosen(names, config, place=str(path))
            return Source(uri, "local", tuple(SourceFile(name, str(path / name)) for name in files), ignored)
        if path.is_file():
            return Source(uri, "local", (SourceFile(path.name, str(path)),))
    if may_be_hub_id(uri, base_dir=base_dir):
        return Source(uri, "hub")
    raise _missing(uri, path)


def may_be_hub_id(uri: str, *, base_dir: Path) -> bool:
    """Tell whether a word that names no local file can be a data set id (``name`` or ``owner/name``)."""
    owner, _, name = uri.partition("/")
    words = [owner, name] if name else [owner]
    plain = all(
        word and word[0].isalnum() and word.replace("-", "").replace("_", "").replace(".", "").isalnum()
        for word in words
    )
    return plain and _suffix(uri) not in FORMAT_OF_SUFFIX and not (name and (base_dir / owner).exists())


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its kind when it says nothing."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def _remote(uri: str, config: DataConfig) -> Source:
    """List the files behind an fsspec URL: one file, a folder or a glob."""
    filesystem, path = _filesystem(uri)
    protocol = uri.partition("://")[0]
    with faults_of(uri):
        if GLOB & set(path):
            found = [str(item) for item in filesystem.glob(path)]
            root = _literal_part(path)
        elif protocol in {"http", "https"} or filesystem.isfile(path):
            name = PurePosixPath(urlsplit(path).path).name or path
            return Source(uri, "remote", (SourceFile(name, path, filesystem),))
        else:
            found, root = [str(item) for item in filesystem.find(path)], path.rstrip("/")
        if not found:
            raise InputError("holds no file", place=uri, mend="check data.source")
    names = {item[len(root) :].lstrip("/"): item for item in sorted(found)}
    files, ignored = _chosen(list(names), config, place=uri)
    return Source(uri, "remote", tuple(SourceFile(name, names[name], filesystem) for name in files), ignored)


def _filesystem(uri: str) -> tuple[Any, str]:
    """Return the fsspec file system and the path of a URL."""
    import fsspec
    from fsspec.registry import known_implementations

    protocol = uri.partition("://")[0].rpartition("::")[2]
    if protocol not in known_implementations:
        raise InputError(
            f"the protocol '{protocol}' is not known",
            place=uri,
            mend=nearest(protocol, sorted(known_implementations)) or "use s3://, gs://, az:// or https://",
        )
    package = CLOUD_PROTOCOLS.get(protocol)
    try:
        if package:
            importlib.import_module(package)
        with faults_of(uri):
            filesystem, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        if package:
            raise MissingExtraError(f"{protocol}:// ({package})", "cloud") from error
        raise InputError(
            f"the protocol '{protocol}' needs a package ({first_line(error)})", place=uri, mend="install it"
        ) from error
    return filesystem, str(path)


def _matching(uri: str, config: DataConfig, *, base_dir: Path) -> Source:
    """List the local files that match a pattern."""
    literal = _literal_part(uri)
    root = base_dir / literal if literal or not uri.startswith("/") else Path("/")
    found = sorted(item for item in root.glob(uri[len(literal) :].lstrip("/")) if item.is_file())
    if not found:
        raise InputError("no file matches the pattern", place=uri, mend="check data.source")
    names = [item.relative_to(root).as_posix() for item in found]
    files, ignored = _chosen(names, config, place=uri)
    return Source(uri, "local", tuple(SourceFile(name, str(root / name)) for name in files), ignored)


def _literal_part(pattern: str) -> str:
    """Return the folders of a pattern that stand before its first wildcard."""
    return pattern[: min(pattern.index(sign) for sign in GLOB if sign in pattern)].rpartition("/")[0]


def _chosen(names: list[str], config: DataConfig, *, place: str) -> tuple[list[str], tuple[str, ...]]:
    """Split the names of a folder into those that hold rows and those that don't.

    Hidden files are passed over. Names that tell a format win; without any, every file is taken.
    """
    seen = [name for name in names if not any(part[0] in "._" for part in PurePosixPath(name).parts)]
    if not seen:
        raise InputError("holds no file to read", place=place, mend="check data.source")
    known = {name: FORMAT_OF_SUFFIX.get(_suffix(name)) for name in seen}
    wanted = None if config.format == "auto" else config.format
    if wanted:
        chosen = [name for name in seen if known[name] == wanted] or seen
    else:
        chosen = [name for name in seen if known[name]] or seen
        formats = sorted({str(known[name]) for name in chosen})
        if len(formats) > 1:
            raise InputError(
                f"holds files of several formats ({', '.join(formats)})",
                place=place,
                mend="set data.format to one of them, or data.source to one file",
            )
    return chosen, tuple(name for name in seen if name not in chosen)


def _missing(uri: str, path: Path) -> InputError:
    """Say that there is no such path, with the nearest name beside it."""
    folder = path.parent
    hint = ""
    if folder.is_dir():
        hint = nearest(path.name, [item.name for item in folder.iterdir()])
    return InputError("no such file or folder", place=uri, mend=hint or "check data.source")


def _refuse_shadowed(uri: str) -> None:
    """Refuse a hub id that is also a folder here: ``datasets`` would quietly read the folder."""
    if Path(uri).exists():
        raise InputError(
            "a local path has the name of the hub data set",
            place=uri,
            mend="rename it, run from another folder, or leave data.format=auto to read the local one",
        )


def _suffix(name: str) -> str:
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
    names = [
        item
        for item in archive.namelist()
        if not item.endswith("/") and not any(part[0] in "._" for part in PurePosixPath(item).parts)
    ]
    if len(names) != 1:
        raise InputError(
            f"the archive holds {len(names)} files and one is expected", place=file.path, mend="unpack it"
        )
    return names[0]


def _comes_from_a_store(error: Exception) -> bool:
    """Tell whether an error was raised by a store's own library or on the way to it."""
    rooms = {
        "aiohttp",
        "aiobotocore",
        "botocore",
        "s3fs",
        "gcsfs",
        "adlfs",
        "azure",
        "google",
        "fsspec",
        "huggingface_hub",
        "requests",
        "urllib3",
        "httpx",
        "httpcore",
        "lzma",
        "zlib",
        "datasets",
    }
    return type(error).__module__.partition(".")[0] in rooms | {"_lzma"}
