"""A server as a tree of processes: started, awaited, weighed, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import requests

if TYPE_CHECKING:
    from serving.contenders import Contender

MIB = 1 << 20
START_S, END_S, LOOK_S = 180.0, 20.0, 0.02
ASK_S = 30.0


@dataclass(slots=True)
class Running:
    """A server that runs."""

    contender: Contender
    process: subprocess.Popen[bytes]
    url: str
    cold_start_s: float = 0.0
    """From the start of its process to the first right answer."""

    def ask(self, text: str, *, timeout_s: float = ASK_S) -> str:
        """Return the label of a text.

        Raises:
            requests.RequestException: When there is no right answer.
        """
        body = _filled(self.contender.body, text)
        answer = requests.post(self.url + self.contender.path, json=body, timeout=timeout_s)
        answer.raise_for_status()
        return self.contender.label(answer.json())

    def tree(self) -> list[psutil.Process]:
        """Return its processes."""
        try:
            first = psutil.Process(self.process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def memory_mib(self) -> float:
        """Return the proportional set sizes of its processes (shared pages are counted once), summed."""
        return sum(_memory(each) for each in self.tree()) / MIB

    def cpu_s(self) -> float:
        """Return the processor time of its processes."""
        return sum(_cpu(each) for each in self.tree())


@contextmanager
def running(contender: Contender, text: str, label: str) -> Iterator[Running]:
    """Start a server, wait for its first right answer, and end it and all that it started.

    Args:
        contender: The server.
        text: What it is asked.
        label: The right answer.
    """
    port = _free_port()
    command = [word.replace("{port}", str(port)) for word in contender.command]
    # MLflow starts uvicorn by its name, which must be found where this interpreter's programs are.
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = {
        **os.environ, "PATH": programs, "RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+b") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        server = Running(contender, process, f"http://127.0.0.1:{port}")
        try:
            _await(server, text, label, log.name)
            server.cold_start_s = time.perf_counter() - began
            yield server
        finally:
            _end(server)


def check(server: Running, texts: list[str], labels: list[str]) -> None:
    """Compare the server's labels with those that its model gives."""
    found = [server.ask(text) for text in texts]
    wrong = sum(one != other for one, other in zip(found, labels, strict=True))
    if wrong:
        raise SystemExit(f"{server.contender.title}: {wrong} of {len(texts)} labels are not the model's")


def _await(server: Running, text: str, label: str, log: str) -> None:
    """Ask until the answer is right."""
    end = time.monotonic() + START_S
    said = None
    while said != label:
        if server.process.poll() is not None or time.monotonic() > end:
            words = Path(log).read_text(encoding="utf-8", errors="replace")[-2000:]
            raise SystemExit(f"{server.contender.title} doesn't start:\n{words}")
        try:
            said = server.ask(text)
        except (requests.RequestException, ValueError, KeyError, IndexError, TypeError):
            time.sleep(LOOK_S)  # not up yet, or not ready


def _end(server: Running) -> None:
    """End the server's processes: by a signal first, then by force; some run in sessions of their own."""
    tree = server.tree()
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGTERM)
    _, left = psutil.wait_procs(tree, timeout=END_S)
    for each in left:
        with _gone():
            each.kill()
    server.process.wait()


def _memory(process: psutil.Process) -> int:
    with _gone():
        full = process.memory_full_info()
        return int(getattr(full, "pss", 0) or full.rss)
    return 0


def _cpu(process: psutil.Process) -> float:
    with _gone():
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


@contextmanager
def _gone() -> Iterator[None]:
    """Pass over a process that has ended meanwhile."""
    try:
        yield
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _filled(body: object, text: str) -> object:
    if isinstance(body, dict):
        return {name: _filled(value, text) for name, value in body.items()}
    if isinstance(body, list):
        return [_filled(value, text) for value in body]
    return text if body == "{text}" else body
