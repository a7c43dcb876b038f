"""The service behind the routes: its models, its health, and what it was given to work with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from tunewright.serving.asked import Authoriser, Sink, by_address, nowhere
from tunewright.serving.faults import NOT_FOUND, ServingError, unavailable
from tunewright.serving.metrics import Metrics
from tunewright.support.errors import TunewrightError, nearest

if TYPE_CHECKING:
    from tunewright.config.serving import ServingConfig
    from tunewright.serving.asked import Finished
    from tunewright.serving.feedback_desk import FeedbackDesk
    from tunewright.serving.rollout.conducting import Rollout
    from tunewright.serving.served import ServedModel

Prove: TypeAlias = "Callable[[ServedModel], Awaitable[None]]"
"""Raises a ``TunewrightError`` about an opened model that must not be served."""
State = Literal["starting", "ready", "degraded", "down", "draining"]
TAKES_REQUESTS = ("ready", "degraded")
LOOK_S = 0.02
STREAM_S = 600.0
"""Time that the streams of a version are given when another has taken over."""


class Service:
    """What the routes ask.

    Args:
        settings: Limits and sizes.
        metrics: Where figures go.
        authorise: Says for whom a request is; by default everybody is let in.
        sink: Hears of every request that has ended.
        feedback: Takes what people say of answers; None where nobody keeps it.
    """

    def __init__(
        self,
        settings: ServingConfig,
        *,
        metrics: Metrics | None = None,
        authorise: Authoriser = by_address,
        sink: Sink = nowhere,
        feedback: FeedbackDesk | None = None,
    ) -> None:
        self.feedback = feedback
        self.settings = settings
        self.metrics = metrics or Metrics()
        self.authorise = authorise
        self.sink: Callable[[Finished], None] = sink
        self.models: list[ServedModel] = []
        """The first one answers where a request names none."""
        self.is_draining = False
        self.in_flight = 0
        self.last_request = 0.0
        self.since = time.time()
        self.rollout: Rollout | None = None
        """What brings new versions, where an alias is served."""
        self._keeping: dict[ServedModel, asyncio.Task[None]] = {}
        self._broken = asyncio.Event()
        _look_at(self)

    @property
    def state(self) -> State:
        """Whether it takes requests: ready, or degraded while a worker is being replaced."""
        if self.is_draining:
            return "draining"
        if not self.models:
            return "starting"
        if self.models[0].is_down:
            return "down"
        return "ready" if all(model.keeper.lanes for model in self.models) else "degraded"

    async def open(self, *models: ServedModel, prove: Prove | None = None) -> None:
        """Open the models' workers, those aside that are kept already, and serve all of them from then on.

        Args:
            models: The first one answers where a request names none.
            prove: Asked about each before it is served.

        Raises:
            TunewrightError: When one can't be opened, or isn't what was certified.
        """
        for model in models:
            if self.is_kept(model):
                continue
            try:
                await model.keeper.open()
                if prove:
                    await prove(model)
            except Exception as error:
                await model.keeper.end()
                raise _cannot_open(model, error) from error
            self.keep(model)
        self.models += models

    def keep(self, model: ServedModel) -> None:
        """Keep an opened model's worker alive from now on; one that is kept for another model serves both."""
        keeper = model.keeper
        shared = next((task for other, task in self._keeping.items() if other.keeper is keeper), None)
        task = self._keeping[model] = shared or asyncio.ensure_future(keeper.keep())

        def note_end(_: asyncio.Task[None]) -> None:
            if any(each.keeper is keeper for each in self.models):
                self._broken.set()

        if not shared:
            task.add_done_callback(note_end)

    def is_kept(self, model: ServedModel) -> bool:
        """Tell whether a model's worker is cared for; only a fault of ours ends that before ``retire``."""
        return model in self._keeping and not self._keeping[model].done()

    async def retire(self, model: ServedModel, *, is_bad: bool = False) -> None:
        """Close a model that gets no new requests, when those that wait for it are answered.

        Args:
            model: Which.
            is_bad: A worker that dies is not waited for: what it had is told so, and not tried with the next one.
        """
        # A request has an end of its own before that; a stream has none but its last token.
        longest = STREAM_S if model.task == "generation" else 2 * self.settings.timeout_s
        end = time.monotonic() + longest
        await asyncio.sleep(LOOK_S)
        while model.asking and self.is_kept(model) and time.monotonic() < end:
            if is_bad and not model.keeper.lanes:
                break
            await asyncio.sleep(LOOK_S)
        await self._close(model)

    def model(self, name: str | None) -> ServedModel:
        """Return the model that a request means; the first where it names none.

        Raises:
            ServingError: When there is no such model, or none yet.
        """
        if not self.models:
            raise unavailable("the model is being opened", "starting")
        if not name:
            return self.models[0]
        found = next((model for model in self.models if name == model.identity.id), None) or next(
            (model for model in self.models if name in model.identity.words), None
        )
        if found is None:
            known = [word for model in self.models for word in model.identity.words]
            names = ", ".join(model.identity.id for model in self.models)
            mend = nearest(name, known) or f"there is {names}"
            raise ServingError(
                f"no model {name[:100]!r}", status=NOT_FOUND, code="model_not_found", param="model", mend=mend
            )
        return found

    def require_open(self) -> None:
        """Let a request in.

        Raises:
            ServingError: Status 503 when requests can't be taken now.
        """
        state = self.state
        if state not in TAKES_REQUESTS:
            raise unavailable(f"the server is {state}", state)

    async def drain(self) -> None:
        """Refuse new requests, and return when all others are answered, or the time for it is over.

        For some time after the signal nothing more is done than to refuse: those who send requests must hear of it.
        """
        self.is_draining = True
        began = time.monotonic()
        end = began + self.settings.drain_s
        while time.monotonic() < end:
            if not self.in_flight and time.monotonic() >= began + self.settings.drain_notice_s:
                return
            await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        """End the workers."""
        if self.rollout:
            await self.rollout.close()
        for task in self._keeping.values():
            task.cancel()
        if self._keeping:
            await asyncio.wait(set(self._keeping.values()))
        for model in self._keeping:
            model.close()
        self._keeping.clear()

    async def until_broken(self) -> None:
        """Return when the care for a served model's worker ends, which only a fault of ours can cause."""
        await self._broken.wait()

    async def _close(self, model: ServedModel) -> None:
        """End a model's worker, unless it goes on for others."""
        if task := self._keeping.pop(model, None):
            if task in self._keeping.values():
                model.leave()
            else:
                task.cancel()
                await asyncio.wait([task])
        model.close()


def _cannot_open(model: ServedModel, error: Exception) -> TunewrightError:
    """Say which copy can't be opened, and why."""
    place = f"{model.identity.id} ({model.identity.form})"
    if isinstance(error, TunewrightError):
        return TunewrightError(error.fact, place=error.place or place, mend=error.mend)
    return TunewrightError(f"can't be opened ({error})", place=place)


def _look_at(service: Service) -> None:
    """Let the metrics read what is known without counting."""
    look = service.metrics.look
    models: Callable[[], Sequence[ServedModel]] = lambda: service.models  # noqa: E731
    look(
        "tunewright_model_info",
        "1 for each model that is served, with its version, engine and weights.",
        lambda: {
            (each.identity.id, each.identity.version, each.identity.form, each.identity.digest): 1.0
            for each in models()
        },
        *("model", "version", "engine", "digest"),
    )
    look(
        "tunewright_queue_tokens",
        "Tokens that wait.",
        lambda: {(each.identity.id,): float(each.waiting_tokens) for each in models()},
        "model",
    )
    look(
        "tunewright_worker_restarts",
        "Workers that were started again since the server began.",
        lambda: {(each.identity.id,): float(each.keeper.restarts) for each in models()},
        "model",
    )
    look(
        "tunewright_worker_memory_bytes",
        "Resident memory of the worker.",
        lambda: {
            (each.identity.id,): float(memory_of(each.keeper.pid)) for each in models() if each.keeper.pid
        },
        "model",
    )
    look(
        "tunewright_state",
        "1 for the state that the server is in, 0 for the others.",
        lambda: {
            (name,): float(name == service.state)
            for name in ("starting", "ready", "degraded", "down", "draining")
        },
        "state",
    )


def memory_of(pid: int | None) -> int:
    """Return a process's resident memory; 0 when it has just ended."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
