"""A new version before its first request: its copy fetched and verified, opened, certified.

It gets a worker of its own; an adapter on the base that is served goes into the worker that has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.engines.copies import MANIFEST
from tunewright.registry.references import CHAMPION
from tunewright.serving.rollout.fetching import fetch
from tunewright.serving.rollout.memory import shortage
from tunewright.serving.rollout.proving import prove
from tunewright.serving.rollout.trial import found_model
from tunewright.serving.service import memory_of
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from tunewright.serving.generation.keeper import WritingKeeper
    from tunewright.serving.opening import Found
    from tunewright.serving.rollout.conducting import Rollout
    from tunewright.serving.rollout.trial import Trial
    from tunewright.serving.served import ServedModel


class PostponedError(TunewrightError):
    """Something outside of the version keeps it away: it is tried again."""


async def prepare(rollout: Rollout, trial: Trial) -> ServedModel:
    """Make a version ready to answer; its worker is kept from then on.

    Args:
        rollout: Which brings it in.
        trial: The version; its phase is set.

    Raises:
        PostponedError: When it can't be fetched, or memory is short.
        TunewrightError: When it can't be opened, or doesn't repeat its certificate.
    """
    found = await _fetched(rollout, trial)
    service, current = rollout.service, rollout.current
    sharing = shared_keeper(current) if found.base else None
    worker = None if sharing else current.keeper.pid
    if short := shortage(found.folder, memory_of(worker) if worker else 0):
        raise PostponedError(short, place="an adapter" if sharing else "a second worker")
    trial.phase = "opening"
    model = found_model(
        found, service.settings, threads=rollout.threads, metrics=service.metrics, sharing=sharing
    )
    try:
        if model.task != current.task:
            raise TunewrightError(f"its task is {model.task}, served is {current.task}")
        await _open(model)
        trial.phase = "certifying"
        await prove(service, model, found.certificate)
    except BaseException:
        if sharing:
            model.leave()
        else:
            await model.keeper.end()
        model.close()
        raise
    service.keep(model)
    return model


def shared_keeper(model: ServedModel) -> WritingKeeper | None:
    """Return who keeps the worker that a model shares; None where it has its worker to itself."""
    from tunewright.serving.generation.served import ServedLanguageModel

    return model.keeper if isinstance(model, ServedLanguageModel) and model.is_adapter else None


async def _open(model: ServedModel) -> None:
    """Start its worker, or bring it into the one that it shares."""
    from tunewright.serving.generation.served import ServedLanguageModel

    if isinstance(model, ServedLanguageModel) and model.is_adapter:
        await model.join()
    else:
        await model.keeper.open()


async def _fetched(rollout: Rollout, trial: Trial) -> Found:
    """Find the copy; whatever else the version is called, it answers to the alias that is served."""
    keeper = shared_keeper(rollout.current)
    base = keeper.folder if keeper else None
    known = rollout.known.get((trial.key, base))
    if known and (known.folder / MANIFEST).is_file():
        return known
    name = rollout.current.identity.name
    request = rollout.request.model_copy(
        update={
            "reference": f"{name}/{trial.key.version}",
            "sharing": "may" if base else "no",
            "base": base,
        }
    )
    try:
        found = await fetch(request)
    except TunewrightError as error:
        raise PostponedError(error.fact, place=error.place, mend=error.mend) from error
    alias = rollout.request.reference.partition("@")[2] or CHAMPION
    found = found.model_copy(update={"aliases": tuple(sorted({*found.aliases, alias}))})
    rollout.known[trial.key, base] = found
    return found
