"""Accounts of the tracking server: change one's own password, add a member of the team.

A change of password touches two places, the server and ``.env``, and may be cut off between them. The new
password is therefore written to ``.env`` as ``MLFLOW_TRACKING_NEW_PASSWORD`` before the server hears of it:
whatever is killed and whenever, one of the two passwords in the file is right, and the next call finishes.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tunewright.config.dotenv import (
    NEW_PASSWORD,
    PASSWORD,
    URI,
    USERNAME,
    read_secrets,
    write_secrets,
)
from tunewright.registry.server_client import Credentials, ServerClient
from tunewright.registry.server_settings import (
    AUTH_CACHE_SECONDS,
    ServerFiles,
    check_password,
    generate_password,
)
from tunewright.support.console import say
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.locks import locked

if TYPE_CHECKING:
    from tunewright.support.paths import ProjectPaths

Permission = Literal["READ", "USE", "EDIT", "MANAGE"]
"""MLflow's levels, each with all of the one before.

EDIT lets a member record runs and register models, MANAGE also delete and share them.
"""

GRANTED_TYPES = ("experiment", "registered_model")
POLL_SECONDS = 2.0
USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a change of password did; it holds no password."""

    username: str
    uri: str
    dotenv: str
    """Where the new password is."""
    finished_earlier: bool
    """Whether the server had changed already, in a call that was cut off."""


@dataclass(frozen=True, slots=True)
class NewUser:
    """A member that was added; the password is in the file alone."""

    username: str
    permission: str
    credentials: str
    """A ``.env`` for that person, mode 0600: hand it over on a safe way, then remove it."""


def rotate(paths: ProjectPaths) -> Rotation:
    """Change the user's own password on the tracking server and in the project's ``.env``.

    The new one is ``MLFLOW_TRACKING_NEW_PASSWORD`` when that is set, else made. It is proven to work, and the
    old one to be refused: MLflow 3.17 forgets a cached password at once in the worker that changes it, and
    other workers within the cache's lifetime, for which this waits.

    Raises:
        InputError: When no server is set, a password is missing, too short or refused.
        TunewrightError: When the server can't be reached, or still lets the old password in.
    """
    files = ServerFiles(paths)
    with locked(files.lock, what="the tracking server's state"):
        client, username = _server(files)
        old = _setting(files, PASSWORD)
        if not old:
            raise InputError(
                "is not set", place=PASSWORD, mend=f"put your present password into {files.dotenv}"
            )
        new = _setting(files, NEW_PASSWORD) or generate_password()
        check_password(new, NEW_PASSWORD)
        if new == old:
            raise InputError(
                "is the present password", place=NEW_PASSWORD, mend="choose another one, or remove it"
            )
        finished_earlier = not _change(files, client, Credentials(username, old), new)
        _prove(client, Credentials(username, old), Credentials(username, new))
        _update_environment(files, old, new)
        write_secrets(files.dotenv, {USERNAME: username, PASSWORD: new, NEW_PASSWORD: None})
    return Rotation(username, client.uri, str(files.dotenv), finished_earlier)


def add_user(paths: ProjectPaths, name: str, *, permission: Permission = "EDIT") -> NewUser:
    """Add a member with a made password and one permission on every experiment and registered model.

    Args:
        paths: The project, whose ``.env`` holds an administrator's credentials.
        name: The new user's name.
        permission: What the user may do.

    Raises:
        InputError: When the name is odd, or this user has no password.
        TunewrightError: When the server can't be reached or refuses (the user exists, you are no administrator).
    """
    if not USER_NAME.fullmatch(name):
        raise InputError(
            f"'{name}' is not a user name", mend="use up to 64 letters, digits and . _ @ -, no sign first"
        )
    files = ServerFiles(paths)
    client, username = _server(files)
    admin = Credentials(username, _setting(files, PASSWORD) or "")
    folder = files.folder / "users"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    path = folder / f"{name}.env"
    # Kept before the server hears of it; a call that was cut off goes on with the same password.
    user = Credentials(name, read_secrets(path).get(PASSWORD) or generate_password())
    write_secrets(path, {URI: client.uri, USERNAME: name, PASSWORD: user.password})
    try:
        if not client.accepts(user):
            client.create_user(admin, user)
    except TunewrightError:
        path.unlink()
        raise
    for resource_type in GRANTED_TYPES:
        client.grant(admin, name, resource_type, permission)
    return NewUser(name, permission, str(path))


def _server(files: ServerFiles) -> tuple[ServerClient, str]:
    """Return the server that this project uses and the name of its user there."""
    return ServerClient(_setting(files, URI) or ""), _setting(files, USERNAME) or ""


def _setting(files: ServerFiles, name: str) -> str | None:
    """Return a setting as a client of the server sees it: the environment wins over ``.env``."""
    return os.environ.get(name) or read_secrets(files.dotenv).get(name)


def _change(files: ServerFiles, client: ServerClient, old: Credentials, new: str) -> bool:
    """Give the server the new password; return False when it has it since an earlier call.

    Raises:
        InputError: When the server knows neither password.
    """
    known = client.accepts(old)
    if known:
        write_secrets(files.dotenv, {NEW_PASSWORD: new})
        try:
            client.change_password(old, new)
        except TunewrightError:
            # A worker with a cached password may have let the old one in after the change.
            if not client.accepts(Credentials(old.username, new)):
                raise
            known = False
    elif not client.accepts(Credentials(old.username, new)):
        raise InputError(
            f"the tracking server refuses the present password of '{old.username}'",
            place=str(files.dotenv),
            mend=f"put the right one into {PASSWORD}",
        )
    return known


def _prove(client: ServerClient, old: Credentials, new: Credentials) -> None:
    """See that the new password works and the old one doesn't, waiting for caches to forget it."""
    if not client.accepts(new):
        raise TunewrightError(
            "the tracking server took the new password but refuses it",
            place=client.uri,
            mend="run `tunewright auth rotate` again",
        )
    deadline = time.monotonic() + AUTH_CACHE_SECONDS + POLL_SECONDS
    told = False
    while client.accepts(old):
        if not told:
            say(f"the server still remembers the old password; waiting up to {AUTH_CACHE_SECONDS} s …")
            told = True
        if time.monotonic() > deadline:
            raise TunewrightError(
                "the tracking server still accepts the old password",
                place=client.uri,
                mend="restart it, then run `tunewright auth rotate` again",
            )
        time.sleep(POLL_SECONDS)


def _update_environment(files: ServerFiles, old: str, new: str) -> None:
    """Let this process go on with the new password; say so when the old one came from outside ``.env``."""
    if os.environ.get(PASSWORD) == old:
        if read_secrets(files.dotenv).get(PASSWORD) != old:
            say(f"{PASSWORD} is set in your environment: remove it there, {files.dotenv} holds the new one")
        os.environ[PASSWORD] = new
    os.environ.pop(NEW_PASSWORD, None)
