"""What a language model's copy is asked in a process of its own: the certificate's probes, and how fast it writes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from tunewright.engines.children import LanguageMeasured, LanguageMeasureJob, Spoken, Timed
from tunewright.engines.interface import Sampling
from tunewright.registry.language_certificate import BATCH_SIZE, GREEDY_TOKENS
from tunewright.support.memory import peak_bytes

if TYPE_CHECKING:
    from tunewright.engines.generator import Answer, EngineLanguageModel
    from tunewright.engines.interface import Chunk

MIB = 1 << 20


def measure_language_model(job: LanguageMeasureJob) -> LanguageMeasured:
    """Open a copy, let it answer the probes, and time it."""
    from tunewright.engines.copies import open_language_model

    began = time.perf_counter()
    slots = max([*job.batches, BATCH_SIZE])
    model = open_language_model(job.folder, threads=job.threads, slots=slots)
    # An engine may have started a server, which must not outlive this.
    with closing(model):
        return _measured(model, job, began)


def _measured(model: EngineLanguageModel, job: LanguageMeasureJob, began: float) -> LanguageMeasured:
    prompts = [model.prompt(probe.row) for probe in job.certificate.probes]
    ids = [prompt.ids for prompt in prompts]
    model.answer(ids[:1], Sampling(max_new_tokens=1))
    load_seconds = time.perf_counter() - began
    sampling = Sampling(max_new_tokens=GREEDY_TOKENS)
    alone = [_spoken(answer) for answer in model.answer(ids, sampling, at_once=1)]
    together = [_spoken(answer) for answer in model.answer(ids, sampling, at_once=BATCH_SIZE)]
    timings = [_timed(model, job, rows) for rows in job.batches]
    return LanguageMeasured(
        prompts=tuple(prompt.text for prompt in prompts),
        token_ids=tuple(ids),
        alone=tuple(alone),
        together=tuple(together),
        given_alone=_given(model, job, 1) if model.scores else None,
        given_together=_given(model, job, BATCH_SIZE) if model.scores else None,
        answers=tuple(map(tuple, _answers(model, job))),
        timings=tuple(timings),
        load_seconds=load_seconds,
        memory_mib=peak_bytes() / MIB,
    )


def _answers(model: EngineLanguageModel, job: LanguageMeasureJob) -> list[list[int]]:
    """Answer the questions, the longest first."""
    order = sorted(range(len(job.questions)), key=lambda at: -len(job.questions[at]))
    written = model.write_ids(
        [job.questions[at] for at in order], max_new_tokens=job.answer_tokens, batch_size=BATCH_SIZE
    )
    found: list[list[int]] = [[]] * len(order)
    for at, ids in zip(order, written, strict=True):
        found[at] = ids
    return found


def _spoken(answer: Answer) -> Spoken:
    return Spoken(ids=answer.ids, log_probabilities=tuple(score.logprob for score in answer.scores))


def _given(model: EngineLanguageModel, job: LanguageMeasureJob, rows: int) -> tuple[tuple[float, ...], ...]:
    """Score the certified tokens, so many probes at once."""
    probes = job.certificate.probes
    sequences = [[*probe.token_ids, *probe.written] for probe in probes]
    masks = [[False] * len(probe.token_ids) + [True] * len(probe.written) for probe in probes]
    return tuple(map(tuple, model.log_likelihoods(sequences, masks, rows)))


def _timed(model: EngineLanguageModel, job: LanguageMeasureJob, rows: int) -> Timed:
    """Let so many requests be answered at once, again and again; each writes as much as the others."""
    prompts = [job.prompts[row % len(job.prompts)] for row in range(rows)]
    sampling = Sampling(max_new_tokens=job.new_tokens, logprobs=-1, ignores_stops=True)
    first: list[float] = []
    written = rounds = 0
    began, spent = time.perf_counter(), time.process_time()
    while not rounds or time.perf_counter() < began + job.seconds:
        asked = time.perf_counter()
        seen: set[str] = set()

        def tell(chunk: Chunk, asked: float = asked, seen: set[str] = seen) -> None:
            if chunk.token_ids and chunk.request_id not in seen:
                seen.add(chunk.request_id)
                first.append(time.perf_counter() - asked)

        written += _tokens(model.answer(prompts, sampling, tell=tell))
        rounds += 1
    wall, processor = time.perf_counter() - began, time.process_time() - spent
    return Timed(
        batch=rows,
        prompt_tokens=rounds * sum(map(len, prompts)),
        output_tokens=written,
        tokens_per_second=written / wall,
        tokens_per_cpu_second=written / processor,
        first_token_seconds=sorted(first)[len(first) // 2],
    )


def _tokens(answers: Sequence[Answer]) -> int:
    return sum(len(answer.ids) for answer in answers)
