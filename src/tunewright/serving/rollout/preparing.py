"""A new version before its first request: its copy fetched and verified, opened in a worker of its own, certified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.engines.copies import MANIFEST
from tunewright.registry.references import CHAMPION
from tunewright.serving.classifying import ServedClassifier
from tunewright.serving.rollout.certifying import certify
from tunewright.serving.rollout.fetching import fetch
from tunewright.serving.rollout.memory import shortage
from tunewright.serving.rollout.trial import found_model
from tunewright.serving.service import memory_of
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
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
    service, worker = rollout.service, rollout.current.keeper.pid
    if short := shortage(found.folder, memory_of(worker) if worker else 0):
        raise PostponedError(short, place="a second worker")
    trial.phase = "opening"
    model = found_model(found, service.settings, threads=rollout.threads, metrics=service.metrics)
    try:
        if model.task != rollout.current.task:
            raise TunewrightError(f"its task is {model.task}, served is {rollout.current.task}")
        await model.keeper.open()
        trial.phase = "certifying"
        await _certify(model, found, service.settings.batch_timeout_s)
    except BaseException:
        await model.keeper.end()
        model.close()
        raise
    service.keep(model)
    return model


async def _certify(model: ServedModel, found: Found, seconds: float) -> None:
    """Replay the certificate of its task."""
    if isinstance(model, ServedClassifier):
        await certify(model, found.certificate, seconds=seconds)
        return
    from tunewright.serving.generation.question import as_language_model
    from tunewright.serving.rollout.certifying_language import certify_language

    await certify_language(as_language_model(model), found.certificate, seconds=seconds)


async def _fetched(rollout: Rollout, trial: Trial) -> Found:
    """Find the copy; whatever else the version is called, it answers to the alias that is served."""
    known = rollout.known.get(trial.key)
    if known and (known.folder / MANIFEST).is_file():
        return known
    name = rollout.current.identity.name
    request = rollout.request.model_copy(update={"reference": f"{name}/{trial.key.version}"})
    try:
        found = await fetch(request)
    except TunewrightError as error:
        raise PostponedError(error.fact, place=error.place, mend=error.mend) from error
    alias = rollout.request.reference.partition("@")[2] or CHAMPION
    found = found.model_copy(update={"aliases": tuple(sorted({*found.aliases, alias}))})
    rollout.known[trial.key] = found
    return found
