"""Real servers around copies of a tiny classifier."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests

LABELS = ("complaint", "order", "question")
TEXTS = [
    "Where is my order 4471?",
    "The box came broken and nobody answers",
    "Can I change the address?",
    "ok",
    "Thank you so much for the quick help with the return of my shoes, they fit very well now",
]


@dataclass
class Touchy:
    """Where that copy is."""

    folder: Path
    python_path: str

    def environment(self, **settings: object) -> dict[str, str]:
        words = {f"TOUCHY_{name.upper()}": str(value) for name, value in settings.items()}
        return {"PYTHONPATH": self.python_path, **words}


@dataclass
class Paired:
    """A server of two models, ``mail`` and ``opposite``, its project, and the folder with both copies."""

    server: Running
    root: Path
    copies: Path


@dataclass
class Running:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    root: Path | None = None
    """Where it runs."""
    url: str = ""
    said: list[str] = field(default_factory=list)

    def classify(self, texts, **options):
        headers = options.pop("headers", {})
        body = {"input": texts, **options}
        return requests.post(f"{self.url}/v1/classify", json=body, headers=headers, timeout=60)

    def get(self, path):
        return requests.get(self.url + path, timeout=10)

    def figures(self) -> dict[str, float]:
        lines = [line for line in self.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    @property
    def worker(self) -> psutil.Process:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            for child in psutil.Process(self.process.pid).children():
                if child.status() != psutil.STATUS_ZOMBIE and "tunewright.serving.worker" in child.cmdline():
                    return child
            time.sleep(0.02)
        raise AssertionError("no worker")

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.said += self.process.communicate(timeout=40)[1].splitlines()
        return self.process.returncode


def start(
    folder: Path | str,
    *words: str,
    cwd: Path | None = None,
    wait: bool = True,
    environment: dict[str, str] | None = None,
) -> Running:
    """Start ``tunewright serve`` on a free port, and wait until it says where it is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tunewright", "serve", str(folder), *words, "--port", "0", "--threads", "2"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "2", **(environment or {})},
    )
    running = Running(process, cwd)
    while wait and not running.url:
        line = process.stderr.readline()
        if not line:
            raise AssertionError(f"the server ended with {process.wait()}: {running.said}")
        running.said.append(line.rstrip())
        if " is served at " in line:
            running.url = line.split()[-1]
    return running
