"""A new version on its way: fetched, opened and certified beside the old one, then tried with traffic."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from tunewright.engines.copies import read_manifest
from tunewright.engines.text_side import TextSide
from tunewright.serving.rollout.bounds import Bounds, Progress
from tunewright.serving.rollout.shadow import Shadow
from tunewright.serving.rollout.tally import Tally

if TYPE_CHECKING:
    from tunewright.config.serving import ServingConfig
    from tunewright.engines.text_side import TextFacts
    from tunewright.serving.generation.keeper import WritingKeeper
    from tunewright.serving.metrics import Metrics
    from tunewright.serving.opening import Found
    from tunewright.serving.served import ServedModel

Phase = Literal["fetching", "opening", "certifying", "rolling out"]


class Key(NamedTuple):
    """What is served: a version, and which copy of it."""

    version: str
    form: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A version that was refused or sent back."""

    key: Key
    why: str
    at: float
    """Seconds since 1970."""


@dataclass(eq=False, slots=True)
class Trial:
    """A new version beside the old one."""

    key: Key
    settings: ServingConfig
    bounds: Bounds = field(init=False)
    tally: Tally = field(init=False)
    shadow: Shadow = field(default_factory=Shadow)
    progress: Progress = field(default_factory=lambda: Progress(time.monotonic()))
    phase: Phase = "fetching"
    since: float = field(default_factory=time.time)
    over: asyncio.Future[None] = field(init=False)
    """Done when it gets no more requests, and those that wait for it should ask the old version."""
    opened: ServedModel | None = None
    """From its certificate on."""
    restarts_before: int = 0
    """Of its worker, where others had it before."""
    shadowing: set[asyncio.Task[None]] = field(default_factory=set)
    is_ended: bool = False
    """Whether it has taken over, or was taken away."""

    def __post_init__(self) -> None:
        self.bounds = Bounds.of(self.settings)
        self.tally = Tally(self.settings.rollout_latency_ratio)
        self.over = asyncio.get_running_loop().create_future()

    @property
    def share(self) -> float:
        """Of the requests that it answers now."""
        return self.bounds.steps[self.progress.step] if self.opened else 0.0

    @property
    def deaths(self) -> int:
        """Workers that have ended since it was opened."""
        return self.opened.keeper.restarts - self.restarts_before if self.opened else 0

    @property
    def is_shadow(self) -> bool:
        """Whether its answers are compared and given to nobody."""
        return self.settings.rollout == "shadow"

    def end(self, *, is_promoted: bool) -> None:
        """Show it nothing more; unless it has taken over, take it away from those who wait for it."""
        self.is_ended = True
        if not (is_promoted or self.over.done()):
            self.over.set_result(None)
        for task in self.shadowing:
            task.cancel()


def found_model(
    found: Found,
    settings: ServingConfig,
    *,
    threads: int,
    metrics: Metrics,
    sharing: WritingKeeper | None = None,
) -> ServedModel:
    """Put a queue before a copy; its worker is not started yet.

    Args:
        found: The copy.
        settings: Sizes and limits.
        threads: Processor threads of the engine.
        metrics: Where figures go.
        sharing: For an adapter: who keeps the worker with its base.

    Raises:
        TunewrightError: When its tokenizer can't be opened.
    """
    manifest = read_manifest(found.folder)
    identity, folder = found.identity, found.folder
    if manifest.language is None:
        from tunewright.serving.classifying import ServedClassifier

        text = TextSide.open(folder, cast("TextFacts", manifest.text))
        return ServedClassifier(identity, folder, text, settings, threads=threads, metrics=metrics)
    from tunewright.engines.language_side import LanguageSide
    from tunewright.serving.generation.served import ServedLanguageModel

    side = LanguageSide.open(folder, manifest.language)
    return ServedLanguageModel(
        identity, folder, side, settings, threads=threads, metrics=metrics, sharing=sharing
    )
