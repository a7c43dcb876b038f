"""API keys: who may ask what, and how much; only hashes of the secrets are kept.

A secret is 256 random bits. To find one that fits a hash means trying 2^255 of them on average, so one round of
SHA-256 is enough: the slow, salted hashes that passwords need protect what people choose, which can be guessed from
a list, and would cost every request tens of milliseconds. Salt would separate equal secrets; there are none.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import stat
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tunewright.support.errors import InputError, TunewrightError, nearest
from tunewright.support.files import write_text
from tunewright.support.locks import locked

Scope = Literal["infer", "feedback", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = ("infer", "feedback", "metrics", "admin")
DEFAULT_SCOPES: tuple[Scope, ...] = ("infer", "feedback")
PREFIX = "tw-"
"""Lets secret scanners and people tell what a found string is."""
SECRET_BYTES = 32
LONGEST_SECRET = 200
"""Characters; anything longer is no secret of ours and isn't hashed."""
OWNER_ONLY = 0o600
FILE = Path("serving/keys.json")
"""Below the project's local state."""
MEND = "restore it from a copy, or remove it and make the keys again"

PerMinute = Annotated[int, Field(ge=1)]
Unlimited = Annotated[PerMinute | None, Field()]


class Key(BaseModel):
    """One key as it is kept; it can't be turned back into its secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    scopes: tuple[Scope, ...] = Field(min_length=1)
    requests_per_minute: Unlimited = None
    tokens_per_minute: Unlimited = None
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    def may(self, scope: Scope) -> bool:
        """Tell whether the key opens a scope; ``admin`` opens all."""
        return scope in self.scopes or "admin" in self.scopes

    def state(self, now: datetime) -> Literal["active", "expired", "revoked"]:
        """Tell whether the key opens anything at all."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"


class _KeyFile(BaseModel):
    """What ``keys.json`` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    keys: tuple[Key, ...]


_Stamp = tuple[int, int, int]


def utc_now() -> datetime:
    """Return the time, in UTC, to the second."""
    return datetime.now(timezone.utc).replace(microsecond=0)


class KeyStore:
    """The keys of one project; a server that runs sees a change at its next request.

    >>> store = KeyStore(paths.state / FILE)
    >>> store.check("tw-…")
    Key(name='ci', scopes=('infer',), …)

    Args:
        path: The file, mode 0600.
        now: The clock.
    """

    def __init__(self, path: Path, *, now: Callable[[], datetime] = utc_now) -> None:
        self.path = path
        self._now = now
        self._stamp: _Stamp | None = None
        self._keys: tuple[Key, ...] = ()
        self._reading = threading.Lock()

    def check(self, secret: str) -> Key | None:
        """Return the key that a secret belongs to, unless it is unknown, expired or revoked.

        Every key is compared, each in constant time, so that the time taken tells nothing about which one fits.

        Raises:
            TunewrightError: When the file is damaged: nobody is let in then.
        """
        keys = self.known()
        if len(secret) > LONGEST_SECRET:
            return None
        given = _hash(secret)
        found = None
        for key in keys:
            if hmac.compare_digest(key.sha256, given):
                found = key
        return found if found is not None and found.state(self._now()) == "active" else None

    def known(self) -> tuple[Key, ...]:
        """Return all keys by name, revoked ones too; the file is read again when it has changed.

        Raises:
            TunewrightError: When the file is damaged, or others may write it.
        """
        stamp = self._stamp_of_file()
        if stamp != self._stamp:
            with self._reading:
                self._keys = () if stamp is None else _read(self.path)
                self._stamp = stamp
        return self._keys

    def make(
        self,
        name: str,
        *,
        scopes: Sequence[str] = DEFAULT_SCOPES,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        days: float | None = None,
    ) -> tuple[Key, str]:
        """Make a key.

        Args:
            name: Letters, digits, dots, dashes and underscores; a revoked or expired key's name may be taken again.
            scopes: What it opens.
            requests_per_minute: None: without limit.
            tokens_per_minute: None: without limit.
            days: Until it expires; None: never.

        Returns:
            The key and its secret, which is kept nowhere.

        Raises:
            InputError: When the name is taken, or something that was given can't be used.
        """
        now = self._now()
        secret = PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode()
        with self._changing():
            kept = [key for key in self.known() if key.name != name or key.state(now) == "active"]
            if any(key.name == name for key in kept):
                raise InputError(
                    "there is a key of that name",
                    place=name,
                    mend=f"run `tunewright keys revoke {name}` first",
                )
            key = _checked(
                name=name,
                sha256=_hash(secret),
                scopes=tuple(dict.fromkeys(scopes)),
                requests_per_minute=requests_per_minute,
                tokens_per_minute=tokens_per_minute,
                created=now,
                expires=None if days is None else _after(now, days),
            )
            self._write([*kept, key])
        return key, secret

    def revoke(self, name: str) -> Key:
        """Close a key for good; a server that runs refuses it from its next request on.

        Raises:
            InputError: When there is no such key, or it is revoked already.
        """
        with self._changing():
            keys = {key.name: key for key in self.known()}
            if name not in keys:
                mend = nearest(name, list(keys)) or "`tunewright keys list` shows them"
                raise InputError("there is no such key", place=name, mend=mend)
            if keys[name].revoked is not None:
                raise InputError(f"was revoked on {keys[name].revoked:%Y-%m-%d}", place=name)
            keys[name] = keys[name].model_copy(update={"revoked": self._now()})
            self._write(list(keys.values()))
        return keys[name]

    def _changing(self) -> AbstractContextManager[None]:
        return locked(self.path.with_suffix(".lock"), what="the API keys", timeout_s=60)

    def _write(self, keys: list[Key]) -> None:
        whole = _KeyFile(keys=tuple(sorted(keys, key=lambda key: key.name)))
        write_text(self.path, whole.model_dump_json(indent=2, exclude_none=True) + "\n", mode=OWNER_ONLY)

    def _stamp_of_file(self) -> _Stamp | None:
        """Identify the file as it stands: each change puts a new one in its place."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _after(now: datetime, days: float) -> datetime:
    try:
        return now + timedelta(days=days)
    except (OverflowError, ValueError):
        raise InputError("is further than the calendar goes", place=f"{days} days") from None


def _checked(**values: object) -> Key:
    """Make a key of values that a person gave."""
    unknown = [scope for scope in values["scopes"] if scope not in SCOPES]  # type: ignore[attr-defined]
    if unknown:
        mend = nearest(unknown[0], list(SCOPES)) or f"known: {', '.join(SCOPES)}"
        raise InputError("is no scope", place=f"'{unknown[0]}'", mend=mend)
    try:
        return Key.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(first["msg"], place=".".join(map(str, first["loc"]))) from None


def _read(path: Path) -> tuple[Key, ...]:
    """Read the file; whatever is wrong with it is an error, and never an empty list."""
    try:
        mode, content = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
    except OSError as error:
        raise TunewrightError(f"can't be read ({error.strerror})", place=str(path)) from error
    if os.name == "posix" and mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise TunewrightError(
            "others may write it, and so let themselves in", place=str(path), mend=f"run `chmod 600 {path}`"
        )
    try:
        keys = _KeyFile.model_validate_json(content).keys
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        fact = f"is damaged ({where}: {first['msg']})" if where else f"is damaged ({first['msg']})"
        raise TunewrightError(fact, place=str(path), mend=MEND) from None
    if len({key.name for key in keys}) != len(keys):
        raise TunewrightError("is damaged (two keys of one name)", place=str(path), mend=MEND)
    return keys
