"""How a person sees a training: a bar on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunewright.support.console import console, is_terminal, say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from tunewright.training.journal import Journal

LINE_SECONDS = 30.0
"""A log gets a line this often."""


@dataclass(slots=True)
class TrainingProgress:
    """Shows loss, useful tokens a second, padding waste and the time left."""

    total_steps: int
    first_step: int = 0
    """Steps that were done before this process began."""
    loss: float | None = None
    _began: float = field(default_factory=time.monotonic)
    _said: float = field(default_factory=time.monotonic)
    _first_tokens: int | None = None
    _bar: Progress | None = None
    _task: TaskID | None = None

    def start(self) -> None:
        """Begin to show, on a terminal."""
        if not is_terminal():
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
            console=console(),
            transient=True,
        )
        self._task = self._bar.add_task("", total=self.total_steps, completed=self.first_step, facts="")
        self._bar.start()

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def advance(self, step: int, journal: Journal) -> None:
        """Show a step that has ended."""
        now = time.monotonic()
        if self._first_tokens is None:
            # The first step also pays for warming up: the rate counts from its end.
            self._first_tokens, self._began = journal.useful_tokens, now
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step, facts=self._facts(journal, now))
        elif self._bar is None and now - self._said >= LINE_SECONDS:
            self._said = now
            say(
                f"step {step} of {self.total_steps}: {self._facts(journal, now)}, {self._left(step, now)} left"
            )

    def _facts(self, journal: Journal, now: float) -> str:
        tokens = journal.useful_tokens - (self._first_tokens or 0)
        rate = tokens / (now - self._began) if now > self._began else 0.0
        padding = 1 - journal.useful_tokens / journal.padded_tokens if journal.padded_tokens else 0.0
        loss = "" if self.loss is None else f"loss {self.loss:.4f}, "
        return f"{loss}{rate:,.0f} useful tokens/s, {padding:.1%} padding"

    def _left(self, step: int, now: float) -> str:
        done = step - self.first_step - 1
        seconds = (now - self._began) / done * (self.total_steps - step) if done > 0 else 0.0
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}:{rest:02d}"
