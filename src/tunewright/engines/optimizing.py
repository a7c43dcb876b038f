"""The measured choice: every engine and precision converted, judged and timed on this machine, and one of them chosen.

Nothing is believed: what is fastest depends on processor, model and lengths of texts (docs/engines.md).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.engines.children import Measured, MeasureJob, run_child
from tunewright.engines.conversion import classifier_source, convert
from tunewright.engines.copies import copy_bytes
from tunewright.engines.judging import judge
from tunewright.engines.text_side import TextFacts
from tunewright.engines.tried import Tried
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from tunewright.engines.interface import Form
    from tunewright.models.classifier import Classifier
    from tunewright.registry.certificate import Certificate

SECONDS = 2.0
"""Time that each timing takes, at least."""
CALIBRATION_ROWS = 300


def optimize(
    classifier: Classifier,
    certificate: Certificate,
    forms: Sequence[Form],
    cache: Path,
    *,
    texts: Sequence[str],
    truth: Sequence[int],
    calibration: Sequence[str],
    max_accuracy_loss: float,
    threads: int,
    seconds: float = SECONDS,
    tell: Callable[[Tried], None] = lambda _: None,
) -> list[Tried]:
    """Convert, judge and time a classifier in every form.

    Args:
        classifier: The model.
        certificate: Its recorded behaviour.
        forms: What to try.
        cache: Folder of all copies.
        texts: The frozen test rows, as they come.
        truth: Their class ids; empty where they have none.
        calibration: Texts that quantisation may look at: training rows, never test rows.
        max_accuracy_loss: Accuracy on the test rows that a copy may lose, between 0 and 1.
        threads: Processor threads that each may use.
        seconds: Time that each timing takes, at least.
        tell: Called with each result as it comes.
    """
    reference = classifier.logits(texts)
    seen = classifier.encode(calibration[:CALIBRATION_ROWS])
    facts = TextFacts.of(classifier)
    tried: list[Tried] = []
    with tempfile.TemporaryDirectory() as name:
        source = classifier_source(classifier, Path(name) / "source")
        for form in forms:
            try:
                folder = convert(source, form, cache, calibration=seen, text=facts)
                one = _measured(
                    form, folder, certificate, texts, threads, seconds, reference, truth, max_accuracy_loss
                )
            except TunewrightError as error:
                one = Tried(form=form, refusals=(str(error).removeprefix(f"{form}: "),))
            tried.append(one)
            tell(one)
    return tried


def _measured(
    form: Form,
    folder: Path,
    certificate: Certificate,
    texts: Sequence[str],
    threads: int,
    seconds: float,
    reference: object,
    truth: Sequence[int],
    max_accuracy_loss: float,
) -> Tried:
    """Let a copy answer in a process of its own, and judge what it says."""
    import numpy as np

    with tempfile.TemporaryDirectory() as name:
        logits = Path(name) / "logits.npz"
        job = MeasureJob(
            folder=folder,
            threads=threads,
            probes=tuple(probe.text for probe in certificate.probes),
            texts=tuple(texts),
            seconds=seconds,
            logits=logits,
        )
        measured = run_child("measure", job, what=str(form), answer=Measured)
        if measured is None:
            raise TunewrightError("its process gave no answer", place=str(form))
        with np.load(logits, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in arrays.files}
    judgement = judge(
        certificate,
        form.precision,
        measured,
        found,
        np.asarray(reference),
        truth,
        max_accuracy_loss=max_accuracy_loss,
    )
    return Tried(
        form=form,
        refusals=judgement.refusals,
        folder=folder,
        size_bytes=copy_bytes(folder),
        judgement=judgement,
        measured=measured,
        quality=judgement.accuracy,
        kept=judgement.agreement,
    )
