"""The local stack: tracking server, Dagster's code, page and daemon, started with one command and ended by another.

Every process carries a mark in its environment (``registry.server_process``), so that ``down`` ends just what ``up``
started, also after a crash. One process loads the project's code for the page and the daemon alike: it is what weighs.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tunewright.registry import server, server_process
from tunewright.registry.server_settings import ServerOptions
from tunewright.support.console import say
from tunewright.support.errors import MissingExtraError, TunewrightError
from tunewright.support.files import read_json, write_json, write_text
from tunewright.support.locks import locked

if TYPE_CHECKING:
    import subprocess

    import psutil

    from tunewright.config.schema import Orchestration
    from tunewright.pipeline.project import Project
    from tunewright.registry.server import ServerStatus
    from tunewright.support.paths import ProjectPaths

HOST = "127.0.0.1"
PAGE_PORT, TRACKING_PORT = 3000, 5000
MODULE = "tunewright.pipeline.dagster"
POLL_S = 0.3
HEARTBEAT_S = 90.0
"""A daemon that has not been heard of for so long is taken for dead."""


@dataclass(frozen=True, slots=True)
class StackOptions:
    """Where the parts listen, and for how long to wait for them."""

    page_port: int = PAGE_PORT
    tracking_port: int = TRACKING_PORT
    timeout_s: float = 120.0


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part of the stack."""

    name: str
    running: bool
    healthy: bool
    address: str | None
    memory_mb: float


@dataclass(frozen=True, slots=True)
class StackStatus:
    """All parts; ``tunewright status --json`` prints it."""

    parts: tuple[PartStatus, ...]

    @property
    def healthy(self) -> bool:
        """Whether every part answers."""
        return all(part.healthy for part in self.parts)

    @property
    def memory_mb(self) -> float:
        """Resident memory of all processes, in MB (10^6 bytes)."""
        return round(sum(part.memory_mb for part in self.parts), 1)


def home(paths: ProjectPaths) -> Path:
    """Return the project's ``DAGSTER_HOME``."""
    return paths.state / "dagster"


def make_home(paths: ProjectPaths, settings: Orchestration) -> Path:
    """Make ``DAGSTER_HOME`` with telemetry off and a bound on runs at once; what a user wrote there stays."""
    folder = home(paths)
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "dagster.yaml"
    if not config.exists():
        values = {
            "telemetry": {"enabled": False},
            "nux": {"enabled": False},
            "concurrency": {"runs": {"max_concurrent_runs": settings.runs_at_once}},
        }
        write_text(
            config, "# Dagster's settings for this project: yours to change.\n" + yaml.safe_dump(values)
        )
    return folder


def up(project: Project, options: StackOptions | None = None) -> StackStatus:
    """Start what doesn't run, and wait until all of it is healthy.

    Raises:
        MissingExtraError: When Dagster isn't installed.
        InputError: When a port is taken.
        TunewrightError: When a part ends or stays silent; the last lines of its log are quoted.
    """
    _require_dagster()
    options = options or StackOptions()
    paths = project.paths
    with locked(paths.state / "locks" / "stack.lock", what="the local stack"):
        folder = make_home(paths, project.compose().orchestration)
        server.up(paths, _tracking_options(paths, options))
        present = status(project)
        if present.healthy:
            say("everything is running already")
            return present
        _end(paths)
        try:
            _start(project, folder, options)
        except BaseException:
            _end(paths)
            raise
    return status(project)


def down(project: Project) -> int:
    """End every process of the stack, whatever state it is in; returns how many there were."""
    paths = project.paths
    with locked(paths.state / "locks" / "stack.lock", what="the local stack"):
        return _end(paths) + server.down(paths)


def status(project: Project) -> StackStatus:
    """Say what runs, by the processes themselves."""
    paths = project.paths
    noted = _noted(paths)
    tracking = server.status(paths)
    return StackStatus((_tracking_part(tracking), *(_part(name, noted, paths) for name in PARTS)))


def _require_dagster() -> None:
    import importlib.util

    if importlib.util.find_spec("dagster_webserver") is None:
        raise MissingExtraError("the local stack", "orchestrate")


def _tracking_options(paths: ProjectPaths, options: StackOptions) -> ServerOptions:
    """Let the server keep the project's own local records, where it has some and the server none."""
    local, artifacts = paths.state / "mlflow.db", paths.state / "artifacts"
    own = paths.state / "server" / "mlflow.db"
    port = options.tracking_port
    if local.is_file() and not own.exists():
        return ServerOptions(
            host=HOST,
            port=port,
            store=f"sqlite:///{local}",
            artifacts=str(artifacts),
            timeout_s=options.timeout_s,
        )
    return ServerOptions(host=HOST, port=port, timeout_s=options.timeout_s)


def _start(project: Project, folder: Path, options: StackOptions) -> None:
    """Start code, page and daemon, each when the one before answers."""
    paths = project.paths
    code_port = server_process.choose_port(HOST, 0)
    page_port = server_process.choose_port(HOST, options.page_port)
    workspace = folder / "workspace.yaml"
    write_text(
        workspace,
        yaml.safe_dump(
            {"load_from": [{"grpc_server": {"host": HOST, "port": code_port, "location_name": "tunewright"}}]}
        ),
    )
    write_json(_note(paths), {"page": f"http://{HOST}:{page_port}", "code_port": code_port})
    python = [sys.executable, "-m"]
    commands = {
        "code": [*python, "dagster", "api", "grpc", "-m", MODULE, "-h", HOST, "-p", str(code_port)],
        "page": [*python, "dagster_webserver", "-h", HOST, "-p", str(page_port), "-w", str(workspace)],
        "daemon": [*python, "dagster._daemon", "run", "-w", str(workspace)],
    }
    for name, command in commands.items():
        process = _spawn(name, command, project, folder)
        _await(process, partial(_is_healthy, name, paths), _log(name, paths), options.timeout_s)


def _spawn(name: str, command: Sequence[str], project: Project, folder: Path) -> subprocess.Popen[bytes]:
    log = _log(name, project.paths)
    log.parent.mkdir(exist_ok=True)
    environment = {**os.environ, "DAGSTER_HOME": str(folder), "TUNEWRIGHT_PROJECT": str(project.paths.root)}
    return server_process.spawn(command, owner=folder / name, environment=environment, log=log)


def _log(name: str, paths: ProjectPaths) -> Path:
    """Return where a part's output goes; Dagster clears folders of its own home."""
    return paths.state / "stack" / f"{name}.log"


def _await(
    process: subprocess.Popen[bytes], is_healthy: Callable[[], bool], log: Path, timeout_s: float
) -> None:
    """Wait until a part answers."""
    deadline = time.monotonic() + timeout_s
    while not is_healthy():
        if process.poll() is not None:
            raise TunewrightError(f"it ended as it started: {_last_line(log)}", place=str(log))
        if time.monotonic() > deadline:
            raise TunewrightError(
                f"it didn't answer within {timeout_s:.0f} s: {_last_line(log)}",
                place=str(log),
                mend="give it longer with --timeout",
            )
        time.sleep(POLL_S)


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "its log is empty"


def _end(paths: ProjectPaths) -> int:
    """End page and daemon before the code that they need."""
    ended = sum(server_process.end(home(paths) / name) for name in reversed(PARTS))
    _note(paths).unlink(missing_ok=True)
    return ended


def _tracking_part(tracking: ServerStatus) -> PartStatus:
    return PartStatus("tracking", tracking.running, tracking.healthy, tracking.uri, tracking.memory_mb)


def _part(name: str, noted: dict[str, object], paths: ProjectPaths) -> PartStatus:
    alive: list[psutil.Process] = server_process.find(home(paths) / name)
    healthy = bool(alive) and _is_healthy(name, paths)
    address = str(noted["page"]) if name == "page" and "page" in noted else None
    return PartStatus(name, bool(alive), healthy, address, server_process.memory_mb(alive))


def _is_healthy(name: str, paths: ProjectPaths) -> bool:
    return PARTS[name](_noted(paths), paths)


def _code_answers(noted: dict[str, object], _paths: ProjectPaths) -> bool:
    from dagster._grpc.client import DagsterGrpcClient

    port = noted.get("code_port")
    if not isinstance(port, int) or not _listens(port):
        return False
    return bool(DagsterGrpcClient(host=HOST, port=port).health_check_query() == "SERVING")  # type: ignore[no-untyped-call]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def _page_answers(noted: dict[str, object], _paths: ProjectPaths) -> bool:
    import requests

    try:
        return requests.get(f"{noted.get('page')}/server_info", timeout=5).ok
    except requests.RequestException:
        return False


def _daemon_beats(_noted: dict[str, object], paths: ProjectPaths) -> bool:
    """Ask the instance's own record, as Dagster's page does."""
    import dagster as dg

    with dg.DagsterInstance.from_config(str(home(paths))) as instance:
        beats = instance.get_daemon_heartbeats()
        now = time.time()
        return "SENSOR" in beats and all(now - each.timestamp < HEARTBEAT_S for each in beats.values())


PARTS: dict[str, Callable[[dict[str, object], ProjectPaths], bool]] = {
    "code": _code_answers,
    "page": _page_answers,
    "daemon": _daemon_beats,
}
"""Parts of Dagster in the order of their start, and how each is asked whether it is well."""


def _note(paths: ProjectPaths) -> Path:
    return paths.state / "stack.json"


def _noted(paths: ProjectPaths) -> dict[str, object]:
    path = _note(paths)
    try:
        noted = read_json(path) if path.is_file() else {}
    except TunewrightError:
        return {}
    return noted if isinstance(noted, dict) else {}


def facts(found: StackStatus) -> dict[str, object]:
    """Return a status under the names that programs rely on."""
    parts = {
        part.name: {key: value for key, value in asdict(part).items() if key != "name"}
        for part in found.parts
    }
    return {"healthy": found.healthy, "memory_mb": found.memory_mb, "parts": parts}
