"""Where a source lies: local files, files behind an fsspec URL, or a data set of the Hugging Face hub."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

from tunewright.data.streams import FORMAT_OF_SUFFIX, SourceFile, faults_of, first_line, format_suffix, shown
from tunewright.support.errors import InputError, MissingExtraError, nearest

if TYPE_CHECKING:
    from tunewright.config.data import DataConfig

Kind = Literal["local", "remote", "hub"]

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
class Source:
    """A source with its files in the order in which they are read."""

    uri: str
    kind: Kind
    files: tuple[SourceFile, ...] = ()
    ignored: tuple[str, ...] = ()
    """Names in a folder that hold no rows (licences, notes)."""


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
        uri = unquote(urlsplit(uri).path)
    if "://" in uri:
        return _remote(uri, config)
    path = base_dir / Path(uri).expanduser()
    if config.format == "hub":
        return _hub(uri)
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
        return _hub(uri)
    raise _missing(uri, path)


def may_be_hub_id(uri: str, *, base_dir: Path) -> bool:
    """Tell whether a word that names no local file can be a data set id (``name`` or ``owner/name``)."""
    owner, _, name = uri.partition("/")
    words = [owner, name] if name else [owner]
    plain = all(
        word and word[0].isalnum() and word.replace("-", "").replace("_", "").replace(".", "").isalnum()
        for word in words
    )
    return plain and format_suffix(uri) not in FORMAT_OF_SUFFIX and not (name and (base_dir / owner).exists())


def _remote(uri: str, config: DataConfig) -> Source:
    """List the files behind an fsspec URL: one file, a folder or a glob."""
    filesystem, path = _filesystem(uri)
    place = shown(uri)
    with faults_of(place):
        filesystem.invalidate_cache()
        if GLOB & set(path.partition("?")[0] if "://" in path else path):
            found = [str(item) for item in filesystem.glob(path)]
            root = _literal_part(path)
        elif filesystem.info(path)["type"] == "file":
            name = PurePosixPath(unquote(urlsplit(path).path)).name or "data"
            return Source(place, "remote", (SourceFile(name, path, filesystem),))
        else:
            found, root = [str(item) for item in filesystem.find(path)], path.rstrip("/")
        if not found:
            raise InputError("holds no file", place=place, mend="check data.source")
    names = {item[len(root) :].lstrip("/"): item for item in sorted(found)}
    files, ignored = _chosen(list(names), config, place=place)
    return Source(
        place, "remote", tuple(SourceFile(name, names[name], filesystem) for name in files), ignored
    )


def _filesystem(uri: str) -> tuple[Any, str]:
    """Return the fsspec file system and the path of a URL."""
    import fsspec
    from fsspec.registry import known_implementations

    protocol = uri.partition("://")[0].rpartition("::")[2]
    if protocol not in known_implementations:
        raise InputError(
            f"the protocol '{protocol}' is not known",
            place=shown(uri),
            mend=nearest(protocol, sorted(known_implementations)) or "use s3://, gs://, az:// or https://",
        )
    package = CLOUD_PROTOCOLS.get(protocol)
    try:
        if package:
            importlib.import_module(package)
        with faults_of(shown(uri)):
            filesystem, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        if package:
            raise MissingExtraError(f"{protocol}:// ({package})", "cloud") from error
        raise InputError(
            f"the protocol '{protocol}' needs a package ({first_line(error)})",
            place=shown(uri),
            mend="install it",
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
    known = {name: FORMAT_OF_SUFFIX.get(format_suffix(name)) for name in seen}
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


def _hub(uri: str) -> Source:
    """Take a word for a hub id, unless a folder here has that name: ``datasets`` would quietly read the folder."""
    if Path(uri).exists():
        raise InputError(
            "a path in the working directory has the name of the hub data set",
            place=uri,
            mend="rename it, run from another folder, or give its path to read it",
        )
    return Source(uri, "hub")
