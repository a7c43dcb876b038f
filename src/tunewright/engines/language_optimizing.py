"""The measured choice for a language model: every engine and precision converted, judged and timed on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.engines.children import LanguageMeasured, LanguageMeasureJob, run_child
from tunewright.engines.conversion import convert
from tunewright.engines.copies import copy_bytes
from tunewright.engines.language_judging import judge_language
from tunewright.engines.language_side import language_source
from tunewright.engines.tried import Tried
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from tunewright.data.chat.rows import ChatRow
    from tunewright.engines.interface import Form
    from tunewright.models.language.model import LanguageModel
    from tunewright.registry.language_certificate import LanguageCertificate

SECONDS = 2.0
"""Time that each timing takes, at least."""
NEW_TOKENS = 32
"""Tokens of each timed answer."""
TEST_ROWS = 128
"""Frozen test rows that every copy answers, at most."""


@dataclass(frozen=True, slots=True)
class Exam:
    """The frozen test rows that every copy answers, and how its answers are marked."""

    rows: tuple[ChatRow, ...]
    mark: Callable[[Sequence[str]], float]
    """The figure of some answers, one a row; more is better."""
    answer_tokens: int
    """Tokens of an answer, at most."""


def optimize_language(
    model: LanguageModel,
    certificate: LanguageCertificate,
    forms: Sequence[Form],
    cache: Path,
    *,
    exam: Exam,
    max_loss: float,
    bound: float,
    threads: int,
    seconds: float = SECONDS,
    tell: Callable[[Tried], None] = lambda _: None,
) -> tuple[list[Tried], float]:
    """Convert, judge and time a language model in every form.

    Args:
        model: The model.
        certificate: Its recorded behaviour.
        forms: What to try.
        cache: Folder of all copies.
        exam: What is asked on top of the certificate.
        max_loss: What a copy's mark may be below the model's.
        bound: Largest difference of a logit that folding in an adapter may make.
        threads: Processor threads that each may use.
        seconds: Time that each timing takes, at least.
        tell: Called with each result as it comes.

    Returns:
        What became of each form, and the model's own mark.
    """
    own = [each.text for each in model.write(exam.rows, max_new_tokens=exam.answer_tokens)]
    mark = exam.mark(own)
    questions = tuple(model.prompt(row).ids for row in exam.rows)
    probes = [[*probe.token_ids, *probe.written] for probe in certificate.probes]
    tried: list[Tried] = []
    with tempfile.TemporaryDirectory() as name:
        source, facts = language_source(model, Path(name) / "source", probes=probes, bound=bound)
        for form in forms:
            try:
                folder = convert(source, form, cache, language=facts)
                job = LanguageMeasureJob(
                    folder=folder,
                    threads=threads,
                    certificate=certificate,
                    prompts=questions,
                    new_tokens=NEW_TOKENS,
                    questions=questions,
                    answer_tokens=exam.answer_tokens,
                    seconds=seconds,
                )
                measured = run_child("measure-language", job, what=str(form), answer=LanguageMeasured)
                if measured is None:
                    raise TunewrightError("its process gave no answer", place=str(form))
                texts = [model.text(ids) for ids in measured.answers]
                one = _judged(
                    form, folder, certificate, measured, texts, own, exam.mark(texts), mark - max_loss
                )
            except TunewrightError as error:
                one = Tried(form=form, refusals=(str(error).removeprefix(f"{form}: "),))
            tried.append(one)
            tell(one)
    return tried, mark


def _judged(
    form: Form,
    folder: Path,
    certificate: LanguageCertificate,
    measured: LanguageMeasured,
    texts: Sequence[str],
    own: Sequence[str],
    mark: float,
    least: float,
) -> Tried:
    """Hold what a copy said against the certificate and against the model's own answers."""
    judgement = judge_language(certificate, form.precision, measured)
    refusals = judgement.refusals
    if mark < least:
        refusals = (*refusals, f"its answers to the test rows are worth {mark:.4f}, wanted are {least:.4f}")
    return Tried(
        form=form,
        refusals=refusals,
        folder=folder,
        size_bytes=copy_bytes(folder),
        judgement=judgement,
        measured=measured,
        quality=mark,
        kept=sum(one == other for one, other in zip(texts, own, strict=True)) / max(1, len(own)),
    )
