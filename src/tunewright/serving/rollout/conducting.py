"""The rollout of one server: sees the alias move, brings the new version in, and takes it back when it must."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from tunewright.serving.rollout.asking import ask_new, ask_old
from tunewright.serving.rollout.bounds import MOST_DEATHS, advance
from tunewright.serving.rollout.figures import Figures
from tunewright.serving.rollout.picking import takes_part
from tunewright.serving.rollout.preparing import PostponedError, prepare, shared_keeper
from tunewright.serving.rollout.trial import Key, Refusal, Trial
from tunewright.serving.rollout.watcher import Watcher
from tunewright.support.console import say
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path
    from typing import Any

    from tunewright.serving.asked import Asked
    from tunewright.serving.opening import Found, Request
    from tunewright.serving.rollout.looking import Sighting
    from tunewright.serving.rollout.question import AnyFound, Askable
    from tunewright.serving.served import ServedModel
    from tunewright.serving.service import Service

TICK_S = 0.1
"""Between two looks at the counts."""
HINT_S = 0.5
"""Between two looks at the registry, however many hints come."""
MOST_PAUSE_S = 300.0
"""Between two trials to bring a version in that something outside of it keeps away."""
REMEMBERED = 20
log = logging.getLogger(__name__)


class Rollout:
    """Watches what the served reference stands for, and lets traffic follow it.

    Args:
        service: Whose first model is served.
        request: The reference, and where models are registered.
        found: What it stood for when the server began.
        threads: Processor threads of an engine.
    """

    def __init__(self, service: Service, request: Request, found: Found, *, threads: int) -> None:
        self.service = service
        self.request = request
        self.threads = threads
        self.figures = Figures(service.metrics)
        self.trial: Trial | None = None
        self.trouble = ""
        """Why the registry can't be asked; empty when it can."""
        self.seen_at: float | None = None
        """When it last could, seconds since 1970."""
        self.refusals: deque[Refusal] = deque(maxlen=REMEMBERED)
        self.known: dict[tuple[Key, Path | None], Found] = {}
        """Copies that were found before, by what they are of and by the base that was to be shared.

        Each is compared with its digests whenever it is opened.
        """
        self.known[Key(found.version, found.identity.form), found.base] = found
        self._refused: Key | None = None
        self._postponed: tuple[Key, str, float, float] | None = None
        """What waits, why, until when, and the pause after that."""
        self._watcher = Watcher(request)
        self._hint = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._trying: asyncio.Task[None] | None = None
        self.figures.look_at(self)

    @property
    def current(self) -> ServedModel:
        """The version that has stood the test."""
        return self.service.models[0]

    def begin(self) -> None:
        """Watch from now on."""
        self._spawn(self._watch())

    def hint(self) -> None:
        """Look at the registry soon: something may have moved."""
        self._hint.set()

    def model(self, name: str | None, asked: Asked) -> ServedModel:
        """Return the model that answers a request; one that names a version gets that one.

        Raises:
            ServingError: When there is no such model.
        """
        found = self.service.model(name)
        trial = self.trial
        if (
            trial is None
            or trial.opened is None
            or found is not self.current
            or not trial.opened.keeper.lanes
        ):
            return found
        if name == f"{found.identity.name}/{found.identity.version}":
            return found
        by_caller = self.service.settings.rollout_by == "caller"
        word = asked.caller.name if by_caller else asked.request_id
        salt = f"{trial.key.version} {trial.key.form}"
        return trial.opened if takes_part(word, trial.share, salt=salt) else found

    async def ask(self, model: ServedModel, question: Askable[AnyFound]) -> tuple[ServedModel, AnyFound]:
        """Ask a model; while two versions are open, what happens is counted, and a fault of the new one is mended.

        Raises:
            ServingError: When nobody answers.
        """
        trial = self.trial
        if trial and model is trial.opened:
            return await ask_new(trial, model, self.current, question, self.figures)
        if trial and trial.opened and model is self.current:
            return await ask_old(trial, model, question, self.figures)
        return await question.to(model)  # one beside the first, too, whose answers say nothing of either

    def promote(self, why: str = "") -> None:
        """Let the new version take over now."""
        trial, old = self.trial, self.current
        if trial is None or trial.opened is None:
            return
        self.service.models[0] = trial.opened
        self._end(trial, "promoted")
        say(f"{_name(trial.opened)} has taken over from {_name(old)}{f' ({why})' if why else ''}")
        self._spawn(self.service.retire(old))

    def send_back(self, why: str) -> None:
        """Take the new version out of the traffic, and leave it out until the alias moves."""
        trial = self.trial
        if trial is None:
            return
        self._refused = trial.key
        self.refusals.append(Refusal(trial.key, why, time.time()))
        self._end(trial, "rolled_back" if trial.opened else "refused")
        what = "is sent back" if trial.opened else "is refused"
        say(f"{self._called(trial.key)} {what}: {why}; {_name(self.current)} stays")
        self._close(trial, is_bad=True)

    async def close(self) -> None:
        """Stop watching and trying; models are left to the service."""
        tasks = [*self._tasks, *([self._trying] if self._trying else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._watcher.end()

    async def _watch(self) -> None:
        """Look again and again."""
        while True:
            try:
                self._follow(await self._watcher.look())
            except TunewrightError as error:
                self._lose_sight(str(error))
            except Exception as error:  # noqa: BLE001 -- a fault here must not end the watch
                log.error("the look at the registry failed: %s", type(error).__name__)  # noqa: TRY400
            await asyncio.sleep(min(HINT_S, self.service.settings.watch_s))
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._hint.wait(), self.service.settings.watch_s)
            self._hint.clear()

    def _follow(self, sighting: Sighting) -> None:
        """Do what follows from what the alias stands for."""
        if self.trouble:
            say("the registry answers again")
        self.trouble, self.seen_at = "", time.time()
        key = Key(sighting.version, sighting.form)
        if key != self._refused:
            self._refused = None
        if self.trial and self.trial.key != key:
            self._withdraw(self.trial)
        identity = self.current.identity
        # An adapter is served on its base, whatever copy was chosen for its version.
        is_form = key.form == identity.form or shared_keeper(self.current) is not None
        is_served = key.version == identity.version and is_form
        if is_served or self.trial or key == self._refused or self._must_wait(key):
            return
        self.trial = Trial(key, self.service.settings)
        self._trying = asyncio.ensure_future(self._try(self.trial))

    def _must_wait(self, key: Key) -> bool:
        return bool(self._postponed and self._postponed[0] == key and time.monotonic() < self._postponed[2])

    def _lose_sight(self, why: str) -> None:
        """Note that the registry can't be asked; it is told once."""
        if not self.trouble:
            say(f"the registry can't be asked ({why}); {_name(self.current)} stays")
        self.trouble = f"the registry can't be asked: {why}"

    def _withdraw(self, trial: Trial) -> None:
        """End a trial because the alias has moved on."""
        self._end(trial, "withdrawn")
        say(f"{self._called(trial.key)} is withdrawn, for the alias has moved")
        self._close(trial)

    async def _try(self, trial: Trial) -> None:
        """Bring a version in, and shift traffic to it."""
        try:
            trial.opened = await prepare(self, trial)
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with it, the old version stays
            if self.trial is trial:
                self._fail(trial, error)
            return
        trial.phase, trial.progress = "rolling out", type(trial.progress)(time.monotonic())
        trial.restarts_before = trial.opened.keeper.restarts
        say(f"{_name(trial.opened)} ({trial.opened.identity.form}) is certified: {_told(trial)}")
        while self.trial is trial:
            await asyncio.sleep(TICK_S)
            if self.trial is trial:
                self._go_on(trial, trial.opened)

    def _go_on(self, trial: Trial, new: ServedModel) -> None:
        """Look at the counts, and do what follows."""
        deaths = trial.deaths if self.service.is_kept(new) else MOST_DEATHS
        seen = trial.tally.seen(deaths)
        trial.progress, decision = advance(trial.progress, seen, trial.bounds, time.monotonic())
        if decision.what == "back":
            self.send_back(decision.why)
        elif decision.what == "done":
            self.promote()
        elif decision.what == "next":
            trial.tally.next_step()
            say(f"{_name(new)}: {_told(trial)}")

    def _fail(self, trial: Trial, error: Exception) -> None:
        """Put off or refuse a version that can't be made ready."""
        if isinstance(error, PostponedError):
            self._postpone(trial, str(error))
        elif isinstance(error, TunewrightError):
            self.send_back(str(error))
        else:
            self.send_back(f"it can't be opened ({type(error).__name__})")

    def _postpone(self, trial: Trial, why: str) -> None:
        """Try again later; the same reason is told once."""
        before = self._postponed
        is_same = before is not None and before[:2] == (trial.key, why)
        pause = min(MOST_PAUSE_S, 2 * before[3]) if before and is_same else self.service.settings.watch_s
        self._postponed = (trial.key, why, time.monotonic() + pause, pause)
        self._end(trial, "postponed")
        if not is_same:
            say(f"{self._called(trial.key)} can't be brought in yet: {why}; {_name(self.current)} stays")

    def _end(self, trial: Trial, outcome: str) -> None:
        """Close a trial's book."""
        self.trial = None
        trial.end(is_promoted=outcome == "promoted")
        self.figures.ended(self.current.identity.name, outcome)

    def _close(self, trial: Trial, *, is_bad: bool = False) -> None:
        """Close what a trial has opened, or is about to."""
        if trial.opened:
            self._spawn(self.service.retire(trial.opened, is_bad=is_bad))
        elif self._trying and self._trying is not asyncio.current_task():
            self._trying.cancel()

    def _called(self, key: Key) -> str:
        return f"{self.current.identity.name}/{key.version}"

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _told(trial: Trial) -> str:
    if trial.is_shadow:
        return "it is shown every request, and answers none"
    return f"it gets {trial.share:.0%} of the requests"


def _name(model: ServedModel) -> str:
    return f"{model.identity.name}/{model.identity.version}"
