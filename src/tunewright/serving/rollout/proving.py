"""A copy held against the certificate of its version, whatever its task, through the worker that is to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.serving.classifying import ServedClassifier
from tunewright.serving.rollout.certifying import certify

if TYPE_CHECKING:
    from pathlib import Path

    from tunewright.serving.served import ServedModel
    from tunewright.serving.service import Service


async def prove(service: Service, model: ServedModel, certificate: Path | None) -> None:
    """Replay a certificate.

    Args:
        service: Whose models in the same worker are asked beside it.
        model: Opened.
        certificate: The file that lies with its version.

    Raises:
        TunewrightError: When it answers otherwise, not at all, or has no certificate.
    """
    seconds = service.settings.batch_timeout_s
    if isinstance(model, ServedClassifier):
        await certify(model, certificate, seconds=seconds)
        return
    from tunewright.serving.generation.question import as_language_model
    from tunewright.serving.rollout.certifying_language import certify_language

    beside = [as_language_model(other) for other in service.models if other.keeper is model.keeper]
    await certify_language(as_language_model(model), certificate, seconds=seconds, beside=beside)
