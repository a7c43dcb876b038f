"""Questions while two versions are open: no fault of the new one reaches a caller whom the old one can answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from tunewright.serving.faults import CLIENT_LEFT, SERVER_ERROR, TOO_MANY, ServingError
from tunewright.serving.rollout.question import AnyFound, Question

if TYPE_CHECKING:
    from tunewright.serving.classifying import Answered
    from tunewright.serving.rollout.figures import Figures
    from tunewright.serving.rollout.question import Askable
    from tunewright.serving.rollout.trial import Trial
    from tunewright.serving.served import ServedModel

PATIENCE = 0.5
"""Part of a request's time after which the old version is asked, too late for the new one."""
MOST_SHADOWED = 32
"""Requests that wait for a shadow's answer at most; it is not asked more."""
SHADOW = "shadow"
"""The caller of what a shadow is asked."""


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
        return await _ask_new(trial, new, old, question, figures)
    finally:
        old.asking -= 1


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
    trial.tally.old.add(reply[1].tokens, time.monotonic() - began)
    if trial.is_shadow and trial.opened and not trial.over.done() and isinstance(question, Question):
        if len(trial.shadowing) < MOST_SHADOWED:
            answered = cast("Answered", reply[1])
            task = asyncio.ensure_future(_shadow(trial, trial.opened, question, answered, figures))
            trial.shadowing.add(task)
            task.add_done_callback(trial.shadowing.discard)
        else:
            trial.shadow.skipped += 1
    return reply


def is_callers(error: BaseException) -> bool:
    """Tell whether an error is about the request itself, whoever is asked."""
    status = _status(error)
    return (status is not None and status < SERVER_ERROR and status != TOO_MANY) or status == CLIENT_LEFT


async def _ask_new(
    trial: Trial, new: ServedModel, old: ServedModel, question: Askable[AnyFound], figures: Figures
) -> tuple[ServedModel, AnyFound]:
    began = time.monotonic()
    asking = asyncio.ensure_future(question.to(new))
    patience = max(0.0, (question.arrival + question.seconds - began) * PATIENCE)
    try:
        await asyncio.wait((asking, trial.over), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            error = asking.exception()
            if error is None:
                reply = asking.result()
                trial.tally.new.add(reply[1].tokens, time.monotonic() - began)
                figures.answered(new)
                return reply
            if is_callers(error) or old.label_names != new.label_names:
                raise error
    finally:
        asking.cancel()
    reply = await question.to(old)
    is_overload = asking.done() and not asking.cancelled() and _status(asking.exception()) == TOO_MANY
    if not (trial.over.done() or is_overload):  # the old version could: so it is the new one's fault
        trial.tally.new.fail()
        figures.failed(new)
    return reply


async def _shadow(
    trial: Trial, new: ServedModel, question: Question, answered: Answered, figures: Figures
) -> None:
    """Ask the new version the same, and compare."""
    began = time.monotonic()
    own = replace(question, caller=SHADOW, arrival=began, leaving=_never, features=False)
    try:
        _, found = await own.to(new)
    except Exception as error:  # noqa: BLE001 -- nobody waits for it: every failure is counted, none is told
        if _status(error) == TOO_MANY:
            trial.shadow.skipped += 1
        else:
            trial.tally.new.fail()
            figures.failed(new)
        return
    trial.tally.new.add(found.tokens, time.monotonic() - began)
    figures.compared(new, *trial.shadow.compare(answered.predictions, found.predictions))


async def _never() -> None:
    await asyncio.Event().wait()


def _status(error: BaseException | None) -> int | None:
    return error.status if isinstance(error, ServingError) else None
