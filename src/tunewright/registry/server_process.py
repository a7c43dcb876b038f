"""The server's processes: start them in a session of their own, find every one again, end all of them.

A process is ours when its environment carries ``MARKER`` with the project's state folder. Children inherit
it, a recycled process id doesn't have it, and it is there before any state file is: so nothing is lost when
a parent is killed, and nothing foreign is ever ended.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    import psutil

MARKER = "TUNEWRIGHT_SERVER_OF"
"""Name of the variable that marks the server's processes."""

TERM_SECONDS = 10.0
"""How long processes may take to end by themselves after SIGTERM."""

KILL_SECONDS = 5.0
"""How long the kernel may take to end them after SIGKILL."""


ROUNDS = 3
"""Rounds of both signals: a child that is born while its parent ends is met in the next one."""


def spawn(
    command: Sequence[str], *, owner: Path, environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one, in its own session, with its output in ``log`` (mode 0600).

    Args:
        command: The program and its arguments; no secret may be among them.
        owner: The folder that marks the process and all its children.
        environment: Its whole environment.
        log: File for its output; a former one is kept as ``NAME.1``.
    """
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env={**environment, MARKER: str(owner)},
            start_new_session=True,
            umask=0o077,
        )
    finally:
        os.close(descriptor)


def find(owner: Path) -> list[psutil.Process]:
    """Return the living processes that carry the mark of ``owner``, and their children, oldest first."""
    import psutil

    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARKER) == str(owner):
                family = [process, *process.children(recursive=True)]
                found.update((member.pid, member) for member in family if _lives(member))
    return sorted(found.values(), key=_age)


def end(owner: Path) -> int:
    """End every process that carries the mark of ``owner``: SIGTERM first, SIGKILL after a bound.

    Returns:
        The number of processes that were ended; no process with the mark is left.

    Raises:
        TunewrightError: When one is still there after ``ROUNDS`` of both signals.
    """
    import psutil

    ended: set[int] = set()
    for _ in range(ROUNDS):
        processes = find(owner)
        if not processes:
            return len(ended)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, stubborn = psutil.wait_procs(processes, timeout=TERM_SECONDS)
        for process in stubborn:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(stubborn, timeout=KILL_SECONDS)
        ended.update(process.pid for process in processes)
    if left := find(owner):
        raise TunewrightError(
            f"process {left[0].pid} of the tracking server can't be ended",
            mend="see what it waits for (a hung disk or network mount)",
        )
    return len(ended)


def memory_mb(processes: Sequence[psutil.Process]) -> float:
    """Return the resident memory of some processes in MB (10^6 bytes); what they share counts once on Linux."""
    import psutil

    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += getattr(process.memory_full_info(), "pss", 0) or process.memory_info().rss
    return round(total / 1e6, 1)


def choose_port(host: str, port: int) -> int:
    """Return ``port`` when it is free on ``host``, or any free one for 0.

    Raises:
        InputError: When the port is taken or not allowed, or the host isn't this machine.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except PermissionError:
        raise InputError(
            f"port {port} needs administrator rights", place="--port", mend="choose one above 1023"
        ) from None
    except (socket.gaierror, UnicodeError):
        raise InputError(
            f"'{host}' is not an address", place="--host", mend="use 127.0.0.1 or an address of this machine"
        ) from None
    except OSError as error:
        raise InputError(
            f"port {port} of {host} can't be used ({error.strerror or error})",
            place="--port",
            mend="choose another one, or --port 0 for any that is free",
        ) from None


def _lives(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that is dead but not yet collected by its parent doesn't."""
    import psutil

    try:
        return process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.NoSuchProcess:
        return False


def _age(process: psutil.Process) -> tuple[float, int]:
    """Sort key: the start time, then the id (times have a resolution of 10 ms)."""
    import psutil

    try:
        return process.create_time(), process.pid
    except psutil.Error:
        return float("inf"), process.pid
