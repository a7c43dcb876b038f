"""Questions while two versions are open: no fault of the new one reaches a caller whom the old one can answer."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from tunewright.serving.faults import CLIENT_LEFT, SERVER_ERROR, TOO_MANY, ServingError
from tunewright.serving.rollout.shadowing import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.serving.rollout.figures import Figures
    from tunewright.serving.rollout.question import AnyFound, Askable
    from tunewright.serving.rollout.timing import Timing
    from tunewright.serving.rollout.trial import Trial
    from tunewright.serving.served import ServedModel

Replied = TypeVar("Replied")
PATIENCE = 0.5
"""Part of a request's time after which the old version is asked, too; whichever answers first is heard."""


async def ask_new(
    trial: Trial, new: ServedModel, old: ServedModel, question: Askable[AnyFound], figures: Figures
) -> tuple[ServedModel, AnyFound]:
    """Ask the new version; the old one, when that fails, is taken away or takes too long.

    Args:
        trial: Counts what happens.
        new: Its model.
        old: The version that has stood the test.
        question: What is asked.
        figures: Counts it, too.

    Raises:
        ServingError: When neither answers.
    """
    old.asking += 1  # it may be asked yet: it isn't closed before
    try:
        began = time.monotonic()
        reply = await _first_answer(trial, new, old, question, figures)
    finally:
        old.asking -= 1
    if reply[0] is new:
        question.measure(reply[1], began, partial(_count, trial, new, figures))
    return reply


async def ask_old(
    trial: Trial, old: ServedModel, question: Askable[AnyFound], figures: Figures
) -> tuple[ServedModel, AnyFound]:
    """Ask the old version, and show the question to a shadow.

    Raises:
        ServingError: When it doesn't answer.
    """
    began = time.monotonic()
    try:
        reply = await question.to(old)
    except ServingError as error:
        if error.status >= SERVER_ERROR:
            trial.tally.old.fail()
        raise

    def count(timing: Timing | None) -> None:
        if timing is None:
            trial.tally.old.fail()
            return
        trial.tally.old.add(timing)
        show(trial, question, reply[1], figures)

    question.measure(reply[1], began, count)
    return reply


def _count(trial: Trial, new: ServedModel, figures: Figures, timing: Timing | None) -> None:
    """Count an answer of the new version; one that broke off is a failure."""
    if timing is None:
        _blame(trial, new, figures)
    else:
        trial.tally.new.add(timing)
        figures.answered(new)


def _blame(trial: Trial, new: ServedModel, figures: Figures) -> None:
    trial.tally.new.fail()
    figures.failed(new)


async def _first_answer(
    trial: Trial, new: ServedModel, old: ServedModel, question: Askable[AnyFound], figures: Figures
) -> tuple[ServedModel, AnyFound]:
    """Ask the new version, and if need be the old one besides; return what comes first."""
    asking = asyncio.ensure_future(question.to(new))
    tasks, answered = [asking], None
    patience = max(0.0, (question.arrival + question.seconds - time.monotonic()) * PATIENCE)
    try:
        await asyncio.wait((asking, trial.over), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        is_told = asking.done() and (_status(asking) == CLIENT_LEFT or old.label_names != new.label_names)
        if not (_has_answered(asking) or is_told):
            if trial.over.done():
                asking.cancel()
            tasks.append(asyncio.ensure_future(question.to(old)))
        answered = await _first_good(tasks)
    finally:
        for task in tasks:
            if task is not answered:
                _abandon(task, question)
    reply = answered.result()
    if answered is not asking and not (trial.over.done() or _status(asking) == TOO_MANY):
        _blame(trial, new, figures)  # the old one could: so it is the new one's fault
    return reply


async def _first_good(tasks: Sequence[asyncio.Future[Replied]]) -> asyncio.Future[Replied]:
    """Return the first that has answered; where none does, the last one, which says why."""
    while going := [task for task in tasks if not task.done()]:
        if any(map(_has_answered, tasks)):
            break
        await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
    return next(filter(_has_answered, tasks), tasks[-1])


def _abandon(asking: asyncio.Future[tuple[ServedModel, AnyFound]], question: Askable[AnyFound]) -> None:
    """Stop asking; what comes all the same nobody reads."""

    def drop(done: asyncio.Future[tuple[ServedModel, AnyFound]]) -> None:
        if _has_answered(done):
            question.drop(done.result()[1])

    asking.cancel()
    asking.add_done_callback(drop)


def _has_answered(asking: asyncio.Future[Replied]) -> bool:
    return asking.done() and not asking.cancelled() and asking.exception() is None


def _status(asking: asyncio.Future[Replied]) -> int | None:
    """Return the status of a failure; None where there is none yet, or it is a fault of ours."""
    error = asking.exception() if asking.done() and not asking.cancelled() else None
    return error.status if isinstance(error, ServingError) else None
