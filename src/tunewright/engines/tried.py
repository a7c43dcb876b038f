"""What became of one engine and precision, whatever the model: figures that can be set side by side, and the choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tunewright.engines.children import LanguageMeasured, Measured
from tunewright.engines.interface import Form  # noqa: TC001 -- pydantic reads the annotations
from tunewright.engines.judging import Judgement  # noqa: TC001 -- pydantic reads the annotations
from tunewright.engines.language_judging import LanguageJudgement  # noqa: TC001 -- pydantic reads the annotations
from tunewright.support.errors import TunewrightError

Goal = Literal["throughput", "latency", "size"]
Unit = Literal["texts", "tokens"]


class Tried(BaseModel):
    """What became of one form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: Form
    refusals: tuple[str, ...]
    """Why it may not be used; empty when it may."""
    folder: Path | None = None
    """The copy, where there is one."""
    size_bytes: int = 0
    judgement: Judgement | LanguageJudgement | None = None
    measured: Measured | LanguageMeasured | None = None
    quality: float | None = None
    """On the frozen test rows: accuracy, or the language model's own metric."""
    kept: float | None = None
    """Share of the test rows with the model's own label or answer."""

    @property
    def passes(self) -> bool:
        """Whether it may be used."""
        return not self.refusals

    @property
    def speed(self) -> float:
        """Texts, or tokens written, a second of wall time when much is asked at once; 0 where it wasn't measured."""
        if isinstance(self.measured, Measured):
            return self.measured.texts_per_second
        return (
            max((each.tokens_per_second for each in self.measured.timings), default=0.0)
            if self.measured
            else 0.0
        )

    @property
    def cpu_speed(self) -> float:
        """The same a second of processor time."""
        if isinstance(self.measured, Measured):
            return self.measured.texts_per_cpu_second
        timings = self.measured.timings if self.measured else ()
        return max((each.tokens_per_cpu_second for each in timings), default=0.0)

    @property
    def latency_ms(self) -> float:
        """95th percentile of one text alone; of a language model the time of a token of one request alone."""
        if isinstance(self.measured, Measured):
            return self.measured.latency_p95_ms
        alone = (
            min(self.measured.timings, key=lambda each: each.batch, default=None) if self.measured else None
        )
        return 1000 / alone.tokens_per_second if alone else 0.0


def choose(tried: Sequence[Tried], goal: Goal) -> Tried:
    """Return the best of those that may be used.

    Args:
        tried: What became of each form.
        goal: ``throughput`` (when much is asked at once), ``latency`` (one alone) or ``size`` (bytes on disk; among
            equals the faster).

    Raises:
        TunewrightError: When none may be used.
    """
    ranks: dict[Goal, Callable[[Tried], tuple[float, ...]]] = {
        "throughput": lambda one: (-one.speed,),
        "latency": lambda one: (one.latency_ms,),
        "size": lambda one: (one.size_bytes, -one.speed),
    }
    usable = [one for one in tried if one.passes and one.measured]
    if not usable:
        raise TunewrightError(
            "no engine gives the answers of the model",
            place="optimize",
            mend="serve it with the engine transformers; the report says what each did otherwise",
        )
    return min(usable, key=ranks[goal])
