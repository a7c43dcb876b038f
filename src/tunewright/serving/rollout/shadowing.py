"""Showing a shadow what the served version was asked: in the background, and never more than it can bear."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tunewright.serving.faults import TOO_MANY, ServingError

if TYPE_CHECKING:
    from tunewright.serving.rollout.figures import Figures
    from tunewright.serving.rollout.question import AnyFound, Askable
    from tunewright.serving.rollout.trial import Trial
    from tunewright.serving.served import ServedModel

MOST_SHADOWED = 32
"""Requests that wait for a shadow's answer at most; it is not asked more."""


def show(trial: Trial, question: Askable[AnyFound], found: AnyFound, figures: Figures) -> None:
    """Let a trial's shadow, where it has one, answer what was answered; return at once."""
    if not (trial.is_shadow and trial.opened) or trial.is_ended:
        return
    if len(trial.shadowing) >= MOST_SHADOWED:
        trial.shadow.skipped += 1
        return
    task = asyncio.ensure_future(_shadow(trial, trial.opened, question, found, figures))
    trial.shadowing.add(task)
    task.add_done_callback(trial.shadowing.discard)


async def _shadow(
    trial: Trial, new: ServedModel, question: Askable[AnyFound], found: AnyFound, figures: Figures
) -> None:
    """Ask the new version the same, and compare."""
    try:
        compared, timing = await question.compare(found, new)
    except Exception as error:  # noqa: BLE001 -- nobody waits for it: every failure is counted, none is told
        if isinstance(error, ServingError) and error.status == TOO_MANY:
            trial.shadow.skipped += 1
        else:
            trial.tally.new.fail()
            figures.failed(new)
        return
    trial.tally.new.add(timing)
    trial.shadow.add(compared)
    figures.compared(new, compared)
