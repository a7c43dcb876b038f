"""The journal of a training: every figure recorded, the best epoch, what it took; it survives a kill.

The journal is written into each checkpoint and replayed to the recorder on resume, so that a run that was killed
shows the same curves, from step 1 on, as one that was not.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from tunewright.training.recorder import Recorder

NOT_IN_METRIC_NAMES = re.compile(r"[^A-Za-z0-9_\-. :/]")
"""MLflow takes letters, digits, underscores, dashes, full stops, spaces, colons and slashes."""


@dataclass(slots=True)
class Journal:
    """What has happened so far in a training; mutable, JSON-like throughout."""

    log: list[dict[str, float]] = field(default_factory=list)
    """Training figures every few steps, each with its ``step``."""
    epochs: list[dict[str, float]] = field(default_factory=list)
    """Validation figures after each epoch, with ``epoch`` and ``step``."""
    best_score: float | None = None
    """Highest score so far."""
    best_step: int = 0
    epochs_without_gain: int = 0
    stopped_early: bool = False
    samples: int = 0
    useful_tokens: int = 0
    padded_tokens: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0

    def add_log(self, recorder: Recorder, step: int, figures: Mapping[str, float]) -> None:
        """Keep and record training figures."""
        self.log.append({"step": step, **figures})
        recorder.metrics(figures, step)

    def add_epoch(self, recorder: Recorder, step: int, epoch: float, figures: Mapping[str, float]) -> None:
        """Keep and record validation figures; the training loss last seen is kept beside them."""
        loss = {"train/loss": self.log[-1]["train/loss"]} if self.log else {}
        self.epochs.append({"epoch": epoch, "step": step, **loss, **figures})
        recorder.metrics(figures, step)

    def judge(self, step: int, score: float, *, margin: float) -> bool:
        """Tell whether to keep this epoch's weights, and remember.

        A later epoch is kept unless the best before it is ahead by more than the margin, for which a classifier
        gives a standard error (the rule of Breiman et al. 1984): with a falling learning rate later is better, and
        on a few hundred rows the highest figure is mostly luck. Patience waits for the score to rise at all.

        Args:
            step: The step at which the epoch ended.
            score: Higher is better.
            margin: How far below the best it may lie.
        """
        best = score if self.best_score is None else max(score, self.best_score)
        gained = self.best_score is None or score > self.best_score
        self.epochs_without_gain = 0 if gained else self.epochs_without_gain + 1
        self.best_score = best
        if score >= best - margin:
            self.best_step = step
            return True
        return False

    def replay(self, recorder: Recorder) -> None:
        """Record again all that was recorded before the checkpoint."""
        for entry in self.log:
            recorder.metrics(
                {name: value for name, value in entry.items() if name != "step"}, int(entry["step"])
            )
        for entry in self.epochs:
            figures = {name: value for name, value in entry.items() if name.startswith("validation/")}
            recorder.metrics(figures, int(entry["step"]))

    def require_figures(self) -> None:
        """Refuse a training that recorded nothing: it can't be judged.

        Raises:
            TunewrightError: When no training or no validation figure was recorded.
        """
        missing = [
            name for name, entries in (("training", self.log), ("validation", self.epochs)) if not entries
        ]
        if missing:
            raise TunewrightError(
                f"nothing was recorded ({' and '.join(missing)} figures are missing)",
                place="training",
                mend="raise training.epochs or lower training.logging_steps",
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the journal as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Journal:
        """Return the journal that ``as_dict`` wrote."""
        return cls(**values)


@dataclass(slots=True)
class Stopwatch:
    """Adds wall and processor time to a journal, part by part, once it was started."""

    journal: Journal
    _since: tuple[float, float] | None = None

    def start(self) -> None:
        """Count from now."""
        self._since = time.monotonic(), time.process_time()

    def lap(self) -> None:
        """Add what has passed since the start or the last lap."""
        if self._since is not None:
            wall, processor = self._since
            self.start()
            self.journal.seconds += self._since[0] - wall
            self.journal.cpu_seconds += self._since[1] - processor


def metric_names(prefix: str, labels: Sequence[str]) -> dict[str, str]:
    """Return a metric name for each label, safe for MLflow and distinct.

    Args:
        prefix: Begins every name, such as ``validation/f1``.
        labels: Label names as they are in the data.
    """
    names: dict[str, str] = {}
    for label in labels:
        name = f"{prefix}/{NOT_IN_METRIC_NAMES.sub('_', label).replace('/', '_').strip() or '_'}"
        while name in names.values():
            name += "_"
        names[label] = name
    return names
