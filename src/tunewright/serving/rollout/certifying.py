"""A new version's certificate, replayed through its opened worker before it gets a single request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from tunewright.engines.interface import Form
from tunewright.engines.judging import judge_probes
from tunewright.engines.widths import beside_every_width
from tunewright.registry.certificate import Certificate
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.serving.classifying import ServedClassifier

TOGETHER = 16
"""Probes that share a batch."""
AnyCertificate = TypeVar("AnyCertificate", bound=BaseModel)


async def certify(model: ServedClassifier, path: Path | None, *, seconds: float) -> None:
    """Ask a worker what the certificate asks, alone and in batches, and compare.

    Args:
        model: Opened, and not yet kept.
        path: The certificate that lies with the version.
        seconds: Time for each batch.

    Raises:
        TunewrightError: When it answers otherwise, not at all, or has no certificate.
    """
    import numpy as np

    certificate = read(path, Certificate)
    names = model.label_names
    if names != certificate.label_names:
        raise TunewrightError(
            f"its labels are {', '.join(names)}, certified were {', '.join(certificate.label_names)}"
        )
    texts = [probe.text for probe in certificate.probes]
    ids = model.text.encode(texts)
    alone = await _logits(model, [[row] for row in ids], seconds)
    together = await _logits(model, _batches(ids), seconds)
    narrow, widened = [], []
    for rows, wide in beside_every_width(ids, model.text.facts.max_length):
        narrow.append(await _logits(model, [[row] for row in rows], seconds))
        widened.append((await _logits(model, [[*rows, wide]], seconds))[: len(rows)])
    refusals = judge_probes(
        certificate,
        Form.parse(model.identity.form).precision,
        token_ids=tuple(map(tuple, ids)),
        cleaned=tuple(model.text.clean(text) for text in texts),
        alone=alone,
        together=together,
        narrow=np.concatenate(narrow),
        widened=np.concatenate(widened),
    )
    if refusals:
        raise TunewrightError(refusals[0])


def read(path: Path | None, kind: type[AnyCertificate]) -> AnyCertificate:
    """Read a certificate.

    Args:
        path: The file; None where there is none.
        kind: Of the task.

    Raises:
        TunewrightError: When it is missing or damaged.
    """
    try:
        if path is None:
            raise FileNotFoundError
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        raise TunewrightError("its certificate is missing or damaged") from None


def _batches(ids: Sequence[list[int]]) -> list[Sequence[list[int]]]:
    """Put probes together, short beside long: neighbours must not matter."""
    return [ids[start : start + TOGETHER] for start in range(0, len(ids), TOGETHER)]


async def _logits(
    model: ServedClassifier, batches: Sequence[Sequence[Sequence[int]]], seconds: float
) -> npt.NDArray[np.float32]:
    """Let the worker score batches; return the logits of all rows."""
    import numpy as np

    found = []
    for batch in batches:
        try:
            scored = await asyncio.wait_for(model.keeper.rehearse(batch), seconds)
        except asyncio.TimeoutError:
            raise TunewrightError(f"it is silent about a probe for {seconds:g} s") from None
        found.append(np.frombuffer(scored.logits, np.float32).reshape(len(batch), -1))
    return np.concatenate(found)
