"""Several adapters in one worker: found, brought to their base, and certified before the first request."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from tunewright.serving.opening import Request, ask, is_folder
from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.config.serving import ServingConfig
    from tunewright.serving.generation.served import ServedLanguageModel
    from tunewright.serving.metrics import Metrics
    from tunewright.serving.opening import Found
    from tunewright.serving.service import Service
    from tunewright.support.paths import ProjectPaths


def find_adapters(references: Sequence[str], recipe: Recipe, paths: ProjectPaths | None) -> tuple[Found, ...]:
    """Find the copies of adapters that are to share one base: that of the first.

    Args:
        references: Registered models.
        recipe: Says where models are registered.
        paths: The project, where there is one.

    Raises:
        InputError: When one names nothing, can't share its base, or stands on another one.
        TunewrightError: When one is damaged.
    """
    if paths is None:
        raise InputError("share a worker inside a project only", place="adapters", mend="run it inside one")
    if folder := next((each for each in references if is_folder(each)), None):
        raise InputError("is a copy's folder", place=folder, mend="name an adapter by its registered version")
    first, *others = references
    return ask(
        Request(reference=first, recipe=recipe, root=paths.root, sharing="must", adapters=tuple(others))
    )


def adapter_models(
    found: Sequence[Found], settings: ServingConfig, *, threads: int, metrics: Metrics
) -> list[ServedLanguageModel]:
    """Put a queue before each of several adapters; their one worker is not started yet.

    Args:
        found: Their copies, on one base.
        settings: Sizes and limits.
        threads: Processor threads of the engine.
        metrics: Where figures go.

    Raises:
        TunewrightError: When a tokenizer can't be opened.
    """
    from tunewright.serving.generation.keeper import WritingKeeper
    from tunewright.serving.generation.question import as_language_model
    from tunewright.serving.rollout.trial import found_model

    base = next(each.base for each in found if each.base)
    keeper = WritingKeeper(base, threads, settings.slots, step_timeout_s=settings.batch_timeout_s)
    return [
        as_language_model(found_model(each, settings, threads=threads, metrics=metrics, sharing=keeper))
        for each in found
    ]


async def open_adapters(
    service: Service, models: Sequence[ServedLanguageModel], found: Sequence[Found]
) -> None:
    """Start the worker, bring all adapters, and replay the certificate of each with the others beside it.

    Args:
        service: Which keeps the worker from then on; the models are not served yet.
        models: Of one worker.
        found: Their copies, in the same order.

    Raises:
        TunewrightError: When the base can't be opened, or an adapter isn't what was certified.
    """
    from tunewright.serving.rollout.certifying_language import certify_language

    await models[0].keeper.open()
    for model in models:
        service.keep(model)
    seconds = service.settings.batch_timeout_s
    for model in models:
        await _named(model, model.join())
    for model, copy in zip(models, found, strict=True):
        beside = [other for other in models if other is not model]
        await _named(model, certify_language(model, copy.certificate, seconds=seconds, beside=beside))


async def _named(model: ServedLanguageModel, work: Awaitable[None]) -> None:
    """Say whose fault it is."""
    try:
        await work
    except TunewrightError as error:
        name = f"{model.identity.name}/{model.identity.version}"
        raise TunewrightError(error.fact, place=name, mend=error.mend) from error
