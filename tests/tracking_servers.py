"""A real tracking server of MLflow, in processes of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path


class TrackingServer:
    """One on a port of its own, which it keeps when it is started again.

    Args:
        database: Its store, an SQLite file.
        artifacts: Where it keeps files.
    """

    def __init__(self, database: Path, artifacts: Path) -> None:
        self._database, self._artifacts = database, artifacts
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)),
                *("--workers", "1", "--backend-store-uri", f"sqlite:///{self._database}"),
                *("--artifacts-destination", str(self._artifacts)),
            ],
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 300  # MLflow takes 15 s of processor time
        while True:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=2).close()
                break
            except OSError:
                assert self._process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server didn't start"
                time.sleep(0.5)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End all of its processes, where it has any."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, how)
            self._process.wait(30)
