"""The project's ``.env``: where credentials live, readable by their owner alone.

Only the names listed here are ever taken from the file; whatever else a user keeps in it stays untouched.
The syntax is python-dotenv's, without ``${…}`` interpolation, so that a password may hold a dollar sign.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.support.console import say
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from dotenv.parser import Binding

FILE = ".env"

URI = "MLFLOW_TRACKING_URI"
USERNAME = "MLFLOW_TRACKING_USERNAME"
PASSWORD = "MLFLOW_TRACKING_PASSWORD"  # noqa: S105 - the name of a variable
NEW_PASSWORD = "MLFLOW_TRACKING_NEW_PASSWORD"  # noqa: S105 - the name of a variable
SECRET_KEY = "MLFLOW_FLASK_SERVER_SECRET_KEY"  # noqa: S105 - the name of a variable
STORE = "MLFLOW_BACKEND_STORE_URI"
ARTIFACTS = "MLFLOW_ARTIFACTS_DESTINATION"

CLIENT_NAMES = (URI, USERNAME, PASSWORD, NEW_PASSWORD)
"""What a client of the tracking server needs; loaded into the process."""

SERVER_NAMES = (SECRET_KEY, STORE, ARTIFACTS)
"""What only the process that starts the server reads."""

_loaded: dict[str, str] = {}
"""What this process's environment has from the file read last."""

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,?&=~-]+")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def load_dotenv_file(root: Path) -> tuple[str, ...]:
    """Put the client names of ``root/.env`` into the process environment, which wins where both say something.

    What an earlier call took from another project's file is taken out again, so that its password never goes to this
    project's server.

    Args:
        root: The project's folder.

    Returns:
        The names that were set, in the order of ``CLIENT_NAMES``; empty without a file.

    Raises:
        InputError: When the file can't be read or a line of it makes no sense.
    """
    path = root / FILE
    values = read_secrets(path)
    if values and _is_open_to_others(path):
        say(f"{path}: other users of this machine can read it; run `chmod 600 {path}`")
    for name, value in _loaded.items():
        if os.environ.get(name) == value:
            del os.environ[name]
    _loaded.clear()
    _loaded.update({name: values[name] for name in CLIENT_NAMES if name in values and name not in os.environ})
    os.environ.update(_loaded)
    return tuple(_loaded)


def read_secrets(path: Path) -> dict[str, str]:
    """Return the names that tunewright knows and their values, without touching the environment.

    Raises:
        InputError: When the file can't be read or a line of it makes no sense.
    """
    known = CLIENT_NAMES + SERVER_NAMES
    return {
        binding.key: binding.value
        for binding in _bindings(path)
        if binding.key in known and binding.value is not None
    }


def write_secrets(path: Path, values: Mapping[str, str | None]) -> None:
    """Set or remove names in a ``.env``; its other lines and comments stay as they are.

    The new file is made with mode 0600 before a byte is written, flushed to disk, and then takes the name
    in one rename: nobody else can read it at any moment, and a kill leaves the old file or the new one.

    Args:
        path: The file; a symbolic link is followed.
        values: Name to value; ``None`` removes the name.

    Raises:
        InputError: When the present file makes no sense, or the folder can't be written.
    """
    path = path.resolve()
    lines: list[str] = []
    pending = {name: value for name, value in values.items() if value is not None}
    for binding in _bindings(path):
        original = binding.original.string
        if binding.key not in values:
            lines.append(original)
            continue
        lines.append(original[: len(original) - len(original.lstrip())])  # blank lines above belong to it
        if binding.key in pending:
            lines.append(_line(binding.key, pending.pop(binding.key)))
    text = "".join(lines)
    if text and not text.endswith(("\n", "\r")):
        text += "\n"
    text += "".join(_line(name, value) for name, value in pending.items())
    try:
        write_private(path, text)
    except PermissionError as error:
        raise InputError("can't be written", place=str(path), mend="check who owns the folder") from error


def write_private(path: Path, text: str) -> None:
    """Write UTF-8 text atomically to a file that only its owner can read, from its first byte on."""
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # made with mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _bindings(path: Path) -> Iterator[Binding]:
    """Parse the file, line by line; an absent file has no lines."""
    import io

    from dotenv.parser import parse_stream

    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return
    except UnicodeDecodeError as error:
        raise InputError(
            f"is not UTF-8 text (byte {error.start})", place=str(path), mend="save it as UTF-8"
        ) from None
    except OSError as error:
        raise InputError(
            f"can't be read ({error.strerror})", place=str(path), mend="make it a file that you can read"
        ) from error
    for binding in parse_stream(io.StringIO(text, newline="")):
        if binding.error:
            raise InputError(
                "this line is not NAME=value",
                place=f"{path}:{binding.original.line}",
                mend="write NAME=value, or put # before a comment",
            )
        yield binding


def _line(name: str, value: str) -> str:
    """Write one assignment so that python-dotenv reads back the very same value."""
    if _PLAIN.fullmatch(value):
        return f"{name}={value}\n"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name}='{escaped}'\n"


def _is_open_to_others(path: Path) -> bool:
    return os.name == "posix" and bool(path.stat().st_mode & _OTHERS)
