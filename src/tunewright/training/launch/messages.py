"""What passes between the first worker and the process that started it: figures, a question, and what went wrong.

All of it are files in the launch's folder, so that nothing is lost with a process and nobody listens on a port.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import append_line, read_json, write_json

if TYPE_CHECKING:
    from tunewright.training.recorder import GivesUp, Recorder

FIGURES = "figures.jsonl"
POLL_S = 0.05
LOST_PEER = ("connection reset by peer", "connection closed by peer", "gloo", "nccl")
"""What torch's backends say when another process is gone."""


@dataclass(frozen=True, slots=True)
class FigureFile:
    """A recorder that writes figures for the process that started this one."""

    folder: Path

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Write ``values`` at ``step`` as one line."""
        append_line(self.folder / FIGURES, json.dumps({"step": step, "values": dict(values)}))

    def table(self, name: str, rows: Sequence[Mapping[str, str]], step: int) -> None:
        """Write a table as one line."""
        told = {"step": step, "table": name, "rows": [dict(row) for row in rows]}
        append_line(self.folder / FIGURES, json.dumps(told))


@dataclass(slots=True)
class Forwarding:
    """Passes on what the first worker wrote, each figure once, also when the journal is replayed in the end."""

    folder: Path
    recorder: Recorder
    gives_up: GivesUp | None = None
    _seen: set[tuple[int, str]] = field(default_factory=set)
    _read: int = 0
    _answered: int = 0

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record what wasn't recorded before."""
        fresh = {name: value for name, value in values.items() if (step, name) not in self._seen}
        self._seen.update((step, name) for name in fresh)
        if fresh:
            self.recorder.metrics(fresh, step)

    def table(self, name: str, rows: Sequence[Mapping[str, str]], step: int) -> None:
        """Record a table, which the recorder leaves alone when it has that step."""
        self.recorder.table(name, rows, step)

    def forward(self) -> None:
        """Record the figures that have come in, and answer a question."""
        for line in self._new_lines():
            told = json.loads(line)
            if "table" in told:
                self.table(told["table"], told["rows"], told["step"])
            else:
                self.metrics(told["values"], told["step"])
        question = self.folder / f"question-{self._answered + 1}.json"
        if self.gives_up and question.is_file():
            self._answered += 1
            answer = self.gives_up(read_json(question))
            write_json(self.folder / f"answer-{self._answered}.json", bool(answer))

    def _new_lines(self) -> list[str]:
        path = self.folder / FIGURES
        if not path.is_file():
            return []
        with path.open("rb") as file:
            file.seek(self._read)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode("utf-8").splitlines()


@dataclass(slots=True)
class Asking:
    """Asks the process that started this one whether to end the training; what ``GivesUp`` is in a worker."""

    folder: Path
    _asked: int = 0

    def __call__(self, epochs: Sequence[Mapping[str, float]]) -> bool:
        """Ask, and wait for the answer; whoever started this process ends it when it ends itself."""
        self._asked += 1
        write_json(self.folder / f"question-{self._asked}.json", [dict(each) for each in epochs])
        answer = self.folder / f"answer-{self._asked}.json"
        while not answer.is_file():
            time.sleep(POLL_S)
        return bool(read_json(answer))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a worker ended."""

    rank: int
    at: float
    """Seconds since the epoch."""
    is_foreseen: bool
    """Whether it is one of our errors, so that fact, place and mend say it all."""
    is_input: bool
    fact: str
    place: str
    mend: str

    @classmethod
    def of(cls, error: BaseException, rank: int) -> Failure:
        """Return what to tell about an error."""
        if isinstance(error, TunewrightError):
            is_input = isinstance(error, InputError)
            return cls(rank, time.time(), True, is_input, error.fact, error.place, error.mend)
        lines = str(error).strip().splitlines()
        fact = f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")
        return cls(rank, time.time(), False, False, fact, "", "")

    @property
    def is_lost_peer(self) -> bool:
        """Whether it says no more than that another process is gone."""
        return any(words in self.fact.lower() for words in LOST_PEER)

    def write(self, folder: Path) -> None:
        """Leave it for the process that started this one."""
        facts = {name: getattr(self, name) for name in self.__dataclass_fields__}
        write_json(folder / f"failure-{self.rank}.json", facts)

    @classmethod
    def read(cls, folder: Path, rank: int) -> Failure | None:
        """Return what a worker left, if it left anything."""
        path = folder / f"failure-{rank}.json"
        if not path.is_file():
            return None
        facts: dict[str, Any] = read_json(path)
        return cls(**facts)
