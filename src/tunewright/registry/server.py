"""A team's tracking server: MLflow with basic authentication, started, watched and ended from the project.

``up`` makes secrets, starts ``mlflow server`` in a session of its own and waits until it answers; ``down``
ends every process of it; ``status`` says what is there. All three are safe to repeat and safe to kill.
"""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tunewright.config.dotenv import (
    ARTIFACTS,
    NEW_PASSWORD,
    PASSWORD,
    STORE,
    URI,
    USERNAME,
    read_secrets,
    write_secrets,
)
from tunewright.registry import server_process as processes
from tunewright.registry.server_client import Credentials, ServerClient, is_loopback
from tunewright.registry.server_settings import (
    ServerFiles,
    ServerOptions,
    ServerSecrets,
    command,
    environment,
    scrub,
    settle_secrets,
    write_auth_config,
)
from tunewright.registry.server_store import passwords_of, redacted, settle_artifacts, settle_store
from tunewright.support.console import say
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import read_json, write_json
from tunewright.support.locks import locked

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from tunewright.support.paths import ProjectPaths

POLL_SECONDS = 0.2
LOG_LINES = 3
LOG_BYTES = 20_000
EVERY_ADDRESS = {"0.0.0.0", "::", ""}  # noqa: S104 - compared with, never bound


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What is known of the project's server; ``tunewright server status --json`` prints it."""

    running: bool
    """Whether any of its processes lives."""
    healthy: bool
    """Whether it answers."""
    uri: str | None
    pid: int | None
    """The oldest of its processes."""
    processes: int
    memory_mb: float
    """Resident memory of all its processes, in MB."""
    store: str | None
    """Backend store, without its password."""
    artifacts: str | None
    started_at: str | None
    """ISO 8601, UTC."""
    log: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that one start needs, settled before anything is changed."""

    files: ServerFiles
    options: ServerOptions
    secrets: ServerSecrets
    store: URL
    artifacts: str
    port: int
    uri: str

    @property
    def facts(self) -> dict[str, object]:
        """What is noted of the server; nothing secret."""
        return {
            "uri": self.uri,
            "host": self.options.host,
            "port": self.port,
            "store": redacted(self.store),
            "artifacts": self.artifacts,
            "started_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }

    @property
    def hidden(self) -> tuple[str | None, ...]:
        """What must not appear in a message."""
        return (self.secrets.password, self.secrets.key, *passwords_of(self.store))


def up(paths: ProjectPaths, options: ServerOptions | None = None) -> ServerStatus:
    """Start the project's tracking server, or find that it runs already.

    Secrets that are missing are made and written to the project's ``.env`` (mode 0600) before the server
    starts; its address is added once it has let the administrator in.

    Args:
        paths: The project.
        options: Where to listen and where to keep things.

    Returns:
        The server's status, running and healthy.

    Raises:
        InputError: When an option, the port, ``.env`` or the store is wrong.
        TunewrightError: When the server ends or stays silent; the last lines of its log are quoted.
    """
    files, options = ServerFiles(paths), options or ServerOptions()
    with _held(files):
        present = status(paths)
        if present.running and present.uri:
            return _join(files, present, options)
        processes.end(paths.state)  # left without a note: nobody knows its address
        plan = _settle(files, options)
        write_auth_config(files)
        write_json(files.state, plan.facts)
        try:
            _start(plan)
        except BaseException:
            processes.end(paths.state)
            files.state.unlink(missing_ok=True)
            raise
        write_secrets(files.dotenv, _to_keep(plan))
    return status(paths)


def down(paths: ProjectPaths) -> int:
    """End the project's server and all its children, whatever state they are in.

    Returns:
        The number of processes that were ended; 0 when none ran.

    Raises:
        TunewrightError: When a process can't be ended.
    """
    files = ServerFiles(paths)
    with _held(files):
        ended = processes.end(paths.state)
        files.state.unlink(missing_ok=True)
    return ended


def status(paths: ProjectPaths) -> ServerStatus:
    """Say what runs for this project, by the processes themselves and not only by what was noted."""
    files = ServerFiles(paths)
    alive = processes.find(paths.state)
    noted = _noted(files) if alive else {}
    uri = noted.get("uri")
    return ServerStatus(
        running=bool(alive),
        healthy=bool(alive and uri and ServerClient(uri).healthy()),
        uri=uri,
        pid=alive[0].pid if alive else None,
        processes=len(alive),
        memory_mb=processes.memory_mb(alive),
        store=noted.get("store"),
        artifacts=noted.get("artifacts"),
        started_at=noted.get("started_at"),
        log=str(files.log),
    )


def _held(files: ServerFiles) -> AbstractContextManager[None]:
    """Hold the server's lock: one start, stop or change of password at a time."""
    return locked(files.lock, what="the tracking server's state")


def _settle(files: ServerFiles, options: ServerOptions) -> _Plan:
    """Check everything that can be checked without the server; write the secrets that it will be started with."""
    _refuse_foreign_uri(files, options)
    files.folder.mkdir(parents=True, exist_ok=True)
    files.folder.chmod(0o700)
    store = settle_store(files, options.store)
    artifacts = settle_artifacts(files, options.artifacts)
    port = processes.choose_port(options.host, options.port)
    held, missing = settle_secrets(files)
    if missing:
        write_secrets(files.dotenv, missing)
    shown = "127.0.0.1" if options.host in EVERY_ADDRESS else options.host
    uri = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
    return _Plan(files, options, held, store, artifacts, port, uri)


def _refuse_foreign_uri(files: ServerFiles, options: ServerOptions) -> None:
    """A project that uses another server keeps it: its ``.env`` is not rewritten unasked."""
    uri = read_secrets(files.dotenv).get(URI)
    host = urlsplit(uri).hostname if uri else None
    if uri and not (host and (is_loopback(host) or host == options.host)):
        raise InputError(
            "MLFLOW_TRACKING_URI names another server",
            place=str(files.dotenv),
            mend="remove that line to give this project a server of its own",
        )


def _start(plan: _Plan) -> None:
    """Start the server; it makes its databases itself, in one process, before it answers."""
    store = plan.store.render_as_string(hide_password=False)
    process = processes.spawn(
        command(plan.options, plan.port),
        owner=plan.files.paths.state,
        environment=environment(plan.files, plan.secrets, store=store, artifacts=plan.artifacts),
        log=plan.files.log,
    )
    client = ServerClient(plan.uri)
    deadline = time.monotonic() + plan.options.timeout_s
    while not client.healthy():
        if process.poll() is not None:
            raise TunewrightError(
                f"the tracking server ended as it started: {_last_words(plan)}", place=str(plan.files.log)
            )
        if time.monotonic() > deadline:
            raise TunewrightError(
                f"the tracking server didn't answer within {plan.options.timeout_s:.0f} s: {_last_words(plan)}",
                place=str(plan.files.log),
                mend="give it longer with --timeout",
            )
        time.sleep(POLL_SECONDS)
    _check_administrator(plan, client)


def _check_administrator(plan: _Plan, client: ServerClient) -> None:
    """See that ``.env`` opens the server; finish a change of password that was cut off.

    Raises:
        InputError: When the server, which has had its users before, knows another password.
    """
    if client.accepts(Credentials(plan.secrets.username, plan.secrets.password)):
        return
    new = read_secrets(plan.files.dotenv).get(NEW_PASSWORD)
    if new and client.accepts(Credentials(plan.secrets.username, new)):
        write_secrets(plan.files.dotenv, {PASSWORD: new, NEW_PASSWORD: None})
        return
    raise InputError(
        f"the password of '{plan.secrets.username}' is not the one that the server's users have",
        place=str(plan.files.dotenv),
        mend=f"put the right one back, or remove {plan.files.users} to start with new users",
    )


def _join(files: ServerFiles, present: ServerStatus, options: ServerOptions) -> ServerStatus:
    """Use the server that runs already, once it answers (its start may have been cut off before that)."""
    deadline = time.monotonic() + options.timeout_s
    while not present.healthy:
        if not present.running or time.monotonic() > deadline:
            raise TunewrightError(
                "the tracking server runs but doesn't answer",
                place=present.log,
                mend="run `tunewright server down`, then `tunewright server up`",
            )
        time.sleep(POLL_SECONDS)
        present = status(files.paths)
    if read_secrets(files.dotenv).get(URI) != present.uri:
        _refuse_foreign_uri(files, options)
        write_secrets(files.dotenv, {URI: present.uri})
    say(f"the tracking server is already running at {present.uri}")
    return present


def _to_keep(plan: _Plan) -> dict[str, str | None]:
    """Return what ``.env`` must remember, so that the next start and every client find the same server."""
    keep: dict[str, str | None] = {URI: plan.uri}
    if plan.options.store:
        keep[STORE] = plan.store.render_as_string(hide_password=False)
    if plan.options.artifacts:
        keep[ARTIFACTS] = plan.artifacts
    wanted = {URI: plan.uri, USERNAME: plan.secrets.username, PASSWORD: plan.secrets.password}
    kept = read_secrets(plan.files.dotenv)
    for name, value in wanted.items():
        if name in os.environ and os.environ[name] not in {value, kept.get(name)}:
            say(f"{name} is set in your environment and wins over {plan.files.dotenv}")
    return keep


def _noted(files: ServerFiles) -> dict[str, str]:
    """Read the facts that ``up`` noted; a missing or damaged note counts as none."""
    try:
        noted = read_json(files.state)
    except TunewrightError:
        return {}
    return noted if isinstance(noted, dict) else {}


def _last_words(plan: _Plan) -> str:
    """Return the last lines of the server's log, without anything secret."""
    with plan.files.log.open("rb") as stream:
        stream.seek(max(0, plan.files.log.stat().st_size - LOG_BYTES))
        lines = [line for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
    return scrub(" | ".join(lines[-LOG_LINES:]) or "its log is empty", plan.hidden)
