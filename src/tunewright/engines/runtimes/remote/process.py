"""A server that we start: watched until it is ready, stopped with all that it started."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tunewright.engines.runtimes.remote.minding import POLL_SECONDS, STOP_SECONDS
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from tunewright.engines.runtimes.remote.settings import RemoteSettings

MINDING = "tunewright.engines.runtimes.remote.minding"
OK = 200


class ServerProcess:
    """Runs a server; without a command it only waits for one to be ready.

    Args:
        settings: How it is started and where it answers.
        folder: The model's folder.

    Raises:
        TunewrightError: When it can't be started, or another one answers at its address, which may be any model's.
    """

    def __init__(self, settings: RemoteSettings, folder: Path) -> None:
        self._settings = settings
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = -1
        if settings.command:
            self._start([word.replace("{folder}", str(folder)) for word in settings.command])

    def wait(self) -> None:
        """Wait until it is ready.

        Raises:
            TunewrightError: When it ends, or isn't ready in time.
        """
        end = time.monotonic() + self._settings.start_seconds
        while not self._is_ready():
            self.check()
            if time.monotonic() > end:
                self.stop()
                raise TunewrightError(
                    f"is not ready after {self._settings.start_seconds:g} s",
                    place=self._settings.place,
                    mend="see that it runs and answers its health check",
                )
            time.sleep(POLL_SECONDS)

    def check(self) -> None:
        """Notice that it has ended.

        Raises:
            TunewrightError: With its last words.
        """
        if self._process is not None and self._process.poll() is not None:
            code = self._process.returncode
            raise TunewrightError(
                f"the server has ended with status {code} ({self._last_words()})",
                place=self._settings.place,
                mend="start it by hand to see why",
            )

    def stop(self) -> None:
        """Stop it, and what it started; one that somebody else started stays."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._wanted)
        if self._log:
            self._log.close()
        self._process = None

    def _start(self, words: list[str]) -> None:
        """Start it, minded: it ends with this process, however that ends."""
        if shutil.which(words[0]) is None:
            raise TunewrightError(
                "can't be started (there is no such program)", place=words[0], mend="check the command"
            )
        if self._is_ready():
            raise TunewrightError(
                "another server answers there already",
                place=self._settings.place,
                mend="stop it, or name no command to use it as it is",
            )
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by ``stop``
        held, self._wanted = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", MINDING, str(held), *words],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=(held,),
            # A group of its own: its workers are stopped with it.
            start_new_session=True,
        )
        os.close(held)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to its whole group, which may have outlived it."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return

    def _is_ready(self) -> bool:
        import requests

        try:
            found = requests.get(
                f"{self._settings.root}{self._settings.health}", timeout=5, allow_redirects=False
            )
        except requests.RequestException:
            return False
        return found.status_code == OK

    def _last_words(self) -> str:
        if self._log is None or self._log.closed:
            return "without a word"
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").splitlines()
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "without a word")
