"""A new language model's certificate: what it wrote when it was made, its opened worker must still write."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tunewright.engines.children import LanguageMeasured, Spoken
from tunewright.engines.interface import Form, Sampling
from tunewright.engines.language_judging import judge_language
from tunewright.registry.language_certificate import BATCH_SIZE, GREEDY_TOKENS, LanguageCertificate
from tunewright.serving.rollout.certifying import read
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from tunewright.serving.generation.served import ServedLanguageModel

Asked: TypeAlias = tuple[str, tuple[int, ...]]
"""An adapter, and the token ids of a prompt."""


async def certify_language(
    model: ServedLanguageModel,
    path: Path | None,
    *,
    seconds: float,
    beside: Sequence[ServedLanguageModel] = (),
) -> None:
    """Ask a worker what the certificate asks, alone and together, and compare.

    Args:
        model: Opened.
        path: The certificate that lies with the version.
        seconds: Time for each batch, where nobody keeps the worker; one that is kept is watched.
        beside: Others in the same worker: they are asked the same in the same batches, so that a mixed batch which gets
            an adapter wrong is caught.

    Raises:
        TunewrightError: When it reads or writes otherwise, not at all, or has no certificate.
    """
    certificate = read(path, LanguageCertificate)
    prompts = [model.side.prompt(probe.row) for probe in certificate.probes]
    ids = [prompt.ids for prompt in prompts]
    own: list[Asked] = [(model.adapter, row) for row in ids]
    mixed = _among(own, [other.adapter for other in beside])
    together = await _spoken(
        model, [mixed[start : start + BATCH_SIZE] for start in range(0, len(mixed), BATCH_SIZE)], seconds
    )
    measured = LanguageMeasured(
        prompts=tuple(prompt.text for prompt in prompts),
        token_ids=tuple(ids),
        alone=await _spoken(model, [[row] for row in own], seconds),
        together=tuple(
            said for asked, said in zip(mixed, together, strict=True) if asked[0] == model.adapter
        ),
        given_alone=None,
        given_together=None,
        timings=(),
        load_seconds=0.0,
        memory_mib=0.0,
    )
    judgement = judge_language(certificate, Form.parse(model.identity.form).precision, measured)
    if judgement.refusals:
        raise TunewrightError(judgement.refusals[0])


def _among(own: Sequence[Asked], others: Sequence[str]) -> list[Asked]:
    """Put between the prompts of one adapter the same ones for others, turn by turn."""
    if not others:
        return list(own)
    return [
        each for number, asked in enumerate(own) for each in (asked, (others[number % len(others)], asked[1]))
    ]


async def _spoken(
    model: ServedLanguageModel, batches: Sequence[Sequence[Asked]], seconds: float
) -> tuple[Spoken, ...]:
    """Let the worker write behind the prompts of each batch."""
    found: list[Spoken] = []
    for batch in batches:
        asking = model.keeper.rehearse(batch, Sampling(max_new_tokens=GREEDY_TOKENS))
        try:
            answers = await asyncio.wait_for(asking, None if model.keeper.is_kept else seconds)
        except asyncio.TimeoutError:
            raise TunewrightError(f"it is silent about a probe for {seconds:g} s") from None
        found += [
            Spoken(ids=tuple(ids), log_probabilities=tuple(each.logprob for each in scores))
            for ids, scores in answers
        ]
    return tuple(found)
