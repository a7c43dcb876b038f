"""What the tracking server is started with: its files, secrets, command line and environment.

Secrets travel through the environment of the server's processes and files of mode 0600, never through
arguments, which every user of a machine can read.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tunewright.config.dotenv import (
    ARTIFACTS,
    FILE,
    NEW_PASSWORD,
    PASSWORD,
    SECRET_KEY,
    STORE,
    URI,
    USERNAME,
    read_secrets,
    write_private,
)
from tunewright.support.environment import DEFAULTS
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.support.paths import ProjectPaths

ADMIN = "admin"
MIN_PASSWORD = 12
"""MLflow 3.17 refuses shorter ones."""

PASSWORD_BYTES = 24
"""Random bytes in a generated password: 192 bits, 32 characters."""

AUTH_CACHE_SECONDS = 60
"""A checked password isn't hashed again for so long: 168 ms of CPU a request without, 4 ms with."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How to start the server; ``None`` takes what ``.env`` or the environment says, else the default."""

    host: str = "127.0.0.1"
    port: int = 5000
    """0 picks a free one."""
    store: str | None = None
    """SQLAlchemy URI without a password; default: SQLite in the project's state folder."""
    artifacts: str | None = None
    """Folder or s3:// URI; default: a folder in the project's state folder."""
    allowed_hosts: tuple[str, ...] = ()
    """Names under which clients reach the server, when it listens beyond loopback or behind a proxy."""
    timeout_s: float = 120.0
    """How long the server may take until it answers."""


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """Where the server keeps what, below the project's state folder; readable by the owner alone."""

    paths: ProjectPaths

    @property
    def folder(self) -> Path:
        """The server's folder, mode 0700."""
        return self.paths.state / "server"

    @property
    def state(self) -> Path:
        """Facts on the server that was started last."""
        return self.paths.state / "server.json"

    @property
    def lock(self) -> Path:
        """Held while the server is started, stopped or given a new password."""
        return self.paths.state / "server.lock"

    @property
    def log(self) -> Path:
        """What the server prints."""
        return self.folder / "server.log"

    @property
    def auth_config(self) -> Path:
        """MLflow's basic-auth settings."""
        return self.folder / "auth.ini"

    @property
    def users(self) -> Path:
        """SQLite database with users, password hashes and permissions."""
        return self.folder / "auth.db"

    @property
    def store(self) -> Path:
        """Default SQLite database with experiments, runs and models."""
        return self.folder / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """Default folder with artefacts."""
        return self.folder / "artifacts"

    @property
    def dotenv(self) -> Path:
        """The project's ``.env``."""
        return self.paths.root / FILE


@dataclass(frozen=True, slots=True)
class ServerSecrets:
    """The server's secrets; none of them shows in a representation."""

    username: str
    password: str
    key: str

    def __repr__(self) -> str:
        """Hide all but the user name."""
        return f"ServerSecrets(username={self.username!r})"


def generate_password() -> str:
    """Return a random password of URL-safe characters."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def settle_secrets(files: ServerFiles) -> tuple[ServerSecrets, dict[str, str | None]]:
    """Take the server's secrets from ``.env``, else the environment, else make new ones.

    Returns:
        The secrets, and the names that ``.env`` must be given before the server starts.

    Raises:
        InputError: When users exist already and their administrator's password is nowhere.
    """
    kept = read_secrets(files.dotenv)
    password = kept.get(PASSWORD) or os.environ.get(PASSWORD)
    if not password:
        if files.users.exists():
            raise InputError(
                "holds no MLFLOW_TRACKING_PASSWORD, but the server has users already",
                place=str(files.dotenv),
                mend=f"put the password back, or remove {files.users} to start with new users",
            )
        password = kept.get(NEW_PASSWORD) or generate_password()
    check_password(password, PASSWORD)
    settled = ServerSecrets(
        username=kept.get(USERNAME) or os.environ.get(USERNAME) or ADMIN,
        password=password,
        key=kept.get(SECRET_KEY) or secrets.token_urlsafe(32),
    )
    wanted = {USERNAME: settled.username, PASSWORD: settled.password, SECRET_KEY: settled.key}
    return settled, {name: value for name, value in wanted.items() if kept.get(name) != value}


def check_password(password: str, place: str) -> None:
    """Refuse a password that MLflow refuses or that HTTP basic authentication can't carry to all its routes.

    Raises:
        InputError: When it is too short, or holds anything but printable ASCII.
    """
    if len(password) < MIN_PASSWORD:
        raise InputError(
            f"is shorter than {MIN_PASSWORD} characters", place=place, mend="choose a longer one"
        )
    if not (password.isascii() and password.isprintable()):
        raise InputError(
            "holds characters other than printable ASCII",
            place=place,
            mend="choose letters, digits and signs",
        )


def write_auth_config(files: ServerFiles) -> None:
    """Write MLflow's basic-auth settings: no access unless granted, users in the project, the cache on."""
    database = str(files.users).replace("%", "%%")  # configparser interpolates
    write_private(
        files.auth_config,
        "[mlflow]\n"
        "default_permission = NO_PERMISSIONS\n"
        f"database_uri = sqlite:///{database}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        f"auth_cache_ttl_seconds = {AUTH_CACHE_SECONDS}\n",
    )


def command(options: ServerOptions, port: int) -> list[str]:
    """Return the server's command line: one worker, no access log, a bounded shutdown, and no secret."""
    words = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
    words += ["--host", options.host, "--port", str(port), "--workers", "1", "--serve-artifacts"]
    words += ["--uvicorn-opts", "--no-access-log --timeout-graceful-shutdown 5"]
    if options.allowed_hosts:
        words += ["--allowed-hosts", ",".join(options.allowed_hosts)]
    return words


def environment(files: ServerFiles, held: ServerSecrets, *, store: str, artifacts: str) -> dict[str, str]:
    """Return the server's environment: the user's own, with the server's secrets in place of a client's.

    Args:
        files: Where the server keeps what.
        held: Its secrets.
        store: Backend store, with its password.
        artifacts: Folder or URI for artefacts.
    """
    own = {
        name: value
        for name, value in os.environ.items()
        if name not in {URI, USERNAME, PASSWORD, NEW_PASSWORD}
    }
    return {
        **DEFAULTS,
        "MALLOC_ARENA_MAX": "2",  # glibc gives every thread its own heap; two cost no speed here
        **own,
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_AUTH_CONFIG_PATH": str(files.auth_config),
        "MLFLOW_AUTH_ADMIN_USERNAME": held.username,
        "MLFLOW_AUTH_ADMIN_PASSWORD": held.password,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        SECRET_KEY: held.key,
        STORE: store,
        ARTIFACTS: artifacts,
    }


def scrub(text: str, hidden: Iterable[str | None]) -> str:
    """Replace every secret in a text, as it is and percent-encoded, by ``***``."""
    words = {form for word in hidden if word for form in (word, quote(word, safe=""))}
    if not words:
        return text
    return re.sub("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)), "***", text)
