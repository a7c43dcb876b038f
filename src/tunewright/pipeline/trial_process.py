"""A trial's process, seen from the sweep: started without a shell, heard line by line, ended with the sweep."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright.pipeline.trial import GO_ON, LOG, STOP

COMPLAINT = "error: "
"""Begins the line in which the command line says what went wrong."""
PATIENCE_S = 10
TAIL_BYTES = 20_000


@dataclass(frozen=True, slots=True)
class Heard:
    """A line from a trial, or, with an exit code, its end."""

    number: int
    facts: dict[str, Any]
    code: int | None = None


Events = queue.Queue[Heard]


@dataclass(frozen=True, slots=True)
class TrialProcess:
    """A running trial."""

    number: int
    process: subprocess.Popen[str]
    log: Path
    log_start: int
    """Where in the log this process began: a resumed trial's earlier words aren't about this one."""

    @classmethod
    def start(
        cls, number: int, folder: Path, *, root: Path, threads: int | None, events: Events
    ) -> TrialProcess:
        """Start a trial whose task lies in ``folder``; what it says comes as ``events``.

        Args:
            number: Of the trial.
            folder: Its folder.
            root: The project.
            threads: It computes with so many, whatever is free; ``None`` leaves that to the training.
            events: Takes what is heard.
        """
        log = folder / LOG
        environment = dict(os.environ)
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        with log.open("a", encoding="utf-8") as stream:
            begins = stream.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", "tunewright", "trial", str(folder)],
                cwd=root,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
                encoding="utf-8",
            )
        started = cls(number, process, log, begins)
        threading.Thread(target=started._listen, args=(events,), daemon=True).start()
        return started

    def answer(self, *, stop: bool) -> None:
        """Tell the trial whether to go on; one that has died meanwhile doesn't hear it."""
        with contextlib.suppress(BrokenPipeError):
            assert self.process.stdin is not None  # noqa: S101 - opened as a pipe above
            self.process.stdin.write(f"{STOP if stop else GO_ON}\n")
            self.process.stdin.flush()

    def end(self) -> None:
        """End the trial where it is; its checkpoint lets it go on."""
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def complaint(self) -> str:
        """Say in one line why the trial failed."""
        code = self.process.returncode
        if code is not None and code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        with self.log.open("rb") as stream:
            stream.seek(max(self.log_start, self.log.stat().st_size - TAIL_BYTES))
            lines = stream.read().decode(errors="replace").splitlines()
        said = [line.removeprefix(COMPLAINT) for line in lines if line.startswith(COMPLAINT)]
        return said[-1] if said else f"its process ended with code {code}"

    def _listen(self, events: Events) -> None:
        assert self.process.stdout is not None  # noqa: S101 - opened as a pipe above
        for line in self.process.stdout:
            with contextlib.suppress(json.JSONDecodeError):  # half a line of a process that was killed
                events.put(Heard(self.number, json.loads(line)))
        events.put(Heard(self.number, {}, code=self.process.wait()))
