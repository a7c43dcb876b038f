"""Atomic files and folders: what exists is whole, whatever is killed and whenever."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from pydantic import BaseModel

AnyModel = TypeVar("AnyModel", bound="BaseModel")


@contextmanager
def writing(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """Give a temporary file beside ``path``; on success it takes the name of ``path`` in one rename.

    Args:
        path: The file to be.
        mode: Its permissions; None: those that the process gives to new files. Until then it is the owner's alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask() if mode is None else mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside ``path``; on success it takes its place, on failure nothing changes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    old = temporary.with_name(temporary.name + ".old")
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write UTF-8 text atomically."""
    with writing(path, mode=mode) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401
    """Write JSON atomically: two spaces, sorted keys, a final newline."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path, *, mend: str = "run `tunewright run` to make it") -> Any:  # noqa: ANN401
    """Read a JSON file that tunewright wrote.

    Raises:
        InputError: When the file is absent.
        TunewrightError: When it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError("no such file", place=str(path), mend=mend) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TunewrightError(
            f"is not valid JSON ({error})", place=str(path), mend="remove it and run again"
        ) from error


def read_model(
    path: Path,
    model: type[AnyModel],
    *,
    absent: str,
    mend: str,
    fault: type[TunewrightError] = InputError,
) -> AnyModel:
    """Read a JSON file that tunewright wrote as the model that it holds.

    Args:
        path: The file.
        model: What it holds.
        absent: What to do where there is no such file.
        mend: What to do where it holds something else.
        fault: What that is.

    Raises:
        InputError: When the file is absent.
        TunewrightError: When it is not JSON, or (``fault``) names no such model, with the first field that doesn't fit.
    """
    from pydantic import ValidationError

    facts = read_json(path, mend=absent)
    try:
        return model.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise fault(f"field {where}: {first['msg']}", place=str(path), mend=mend) from error


def append_line(path: Path, line: str) -> None:
    """Append one line durably with a single write, so that concurrent writers never interleave."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, (line + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of every file below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())


def _umask() -> int:
    """Return the process's umask (reading it means setting it for a moment)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
