"""The ways to let the model write, each run in a process of its own: our engines, ``generate()``, ``pipeline``.

All write greedily, all write on behind a stop token, so that every answer has the same number of tokens.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generation.model import Shape, prompt_ids, prompt_text

if TYPE_CHECKING:
    from tunewright.engines.interface import Chunk

PIPELINE, GENERATE = "pipeline", "generate()"
BASELINES = (PIPELINE, GENERATE)
MIB = 1 << 20
WARM_UP_TOKENS = 4
LEAST_SECONDS = 1.5
"""A batch that is done sooner is asked again."""
Moments = list[list[float]]
"""For each request the moments at which its tokens were there."""
Written = tuple[list[list[int]], Moments]


@dataclass(frozen=True, slots=True)
class Task:
    """What an arm is to do."""

    arm: str
    folder: str
    """Of the copy, or of the model."""
    shape: Shape
    prompt_tokens: int
    output_tokens: int
    batches: tuple[int, ...]
    singles: int
    """Answers that the baselines write one by one."""
    threads: int

    def as_json(self) -> str:
        """Return it for a child."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        """Read it in the child."""
        facts = json.loads(text)
        shape = Shape(**facts.pop("shape"))
        return cls(**{**facts, "shape": shape, "batches": tuple(facts["batches"])})


@dataclass(frozen=True, slots=True)
class Timing:
    """So many requests at once."""

    batch: int
    answers: int
    """In the whole timing."""
    output_tokens: int
    wall_s: float
    cpu_s: float
    first_token_s: float | None
    """From asking to a request's first token, the median."""
    token_s: float | None
    """From a request's token to its next one, on average; the median of the requests."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one arm came to in one round."""

    arm: str
    load_s: float
    peak_mib: float
    timings: tuple[Timing, ...]
    first_answer: tuple[int, ...]
    """To the first prompt, asked alone."""

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """Read what a child printed."""
        facts = json.loads(text)
        return cls(
            **{
                **facts,
                "timings": tuple(Timing(**each) for each in facts["timings"]),
                "first_answer": tuple(facts["first_answer"]),
            }
        )


def answer(task: Task) -> Outcome:
    """Open the arm, warm up, and time each batch."""
    from tunewright.support.memory import peak_bytes

    began = time.perf_counter()
    write = _writer(task)
    prompts = prompt_ids(task.shape, task.prompt_tokens, max(*task.batches, task.singles))
    write(prompts[:1], 1)
    load_s = time.perf_counter() - began
    batches = task.batches if task.arm != PIPELINE else (1,)
    timings, first = [], ()
    for batch in batches:
        write(prompts[:batch], WARM_UP_TOKENS)
        timing, written = _timed(task, write, prompts, batch)
        timings.append(timing)
        if batch == 1:
            first = tuple(written)
    return Outcome(task.arm, load_s, peak_bytes() / MIB, tuple(timings), first)


def _timed(
    task: Task, write: Callable[[list[list[int]], int], Written], prompts: list[list[int]], batch: int
) -> tuple[Timing, list[int]]:
    """Ask batch after batch, for some time; return what it took, and the first answer."""
    least = task.singles if task.arm in BASELINES and batch == 1 else batch
    firsts: list[float] = []
    gaps: list[float] = []
    shown: list[int] = []
    answers = 0
    began, spent = time.perf_counter(), time.process_time()
    while answers < least or (task.arm not in BASELINES and time.perf_counter() - began < LEAST_SECONDS):
        asked = time.perf_counter()
        at = answers % len(prompts)
        ids, moments = write(prompts[at : at + batch] if batch == 1 else prompts[:batch], task.output_tokens)
        if any(len(each) != task.output_tokens for each in ids):
            raise SystemExit(f"{task.arm} wrote {list(map(len, ids))} tokens, not {task.output_tokens} each")
        shown = shown or ids[0]
        answers += batch
        firsts += [each[0] - asked for each in moments]
        gaps += [(each[-1] - each[0]) / (len(each) - 1) for each in moments if len(each) > 1]
    wall, cpu = time.perf_counter() - began, time.process_time() - spent
    middle = statistics.median
    return Timing(
        batch=batch,
        answers=answers,
        output_tokens=answers * task.output_tokens,
        wall_s=wall,
        cpu_s=cpu,
        first_token_s=middle(firsts) if firsts else None,
        token_s=middle(gaps) if gaps else None,
    ), shown


def _writer(task: Task) -> Callable[[list[list[int]], int], Written]:
    """Return the function that writes so many tokens behind prompts."""
    if task.arm not in BASELINES:
        return _engine(task)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, logging

    logging.set_verbosity_error()
    torch.set_num_threads(task.threads)
    model = AutoModelForCausalLM.from_pretrained(task.folder, dtype=torch.float32).eval()
    if task.arm == GENERATE:
        return _generate(model)
    return _pipeline(model, AutoTokenizer.from_pretrained(task.folder))


def _engine(task: Task) -> Callable[[list[list[int]], int], Written]:
    """Open one of our copies."""
    from tunewright.engines.copies import open_language_model
    from tunewright.engines.interface import Sampling

    model = open_language_model(Path(task.folder), threads=task.threads, slots=max(task.batches))

    def write(prompts: list[list[int]], tokens: int) -> Written:
        moments: dict[str, list[float]] = {}

        def tell(chunk: Chunk) -> None:
            seen = moments.setdefault(chunk.request_id, [])
            seen.extend([time.perf_counter()] * len(chunk.token_ids))

        sampling = Sampling(max_new_tokens=tokens, logprobs=-1, ignores_stops=True)
        answers = model.answer(prompts, sampling, tell=tell)
        return [list(each.ids) for each in answers], list(moments.values())

    return write


def _generate(model: Any) -> Callable[[list[list[int]], int], Written]:  # noqa: ANN401
    """Ask Transformers' own method; prompts of one length need no padding."""
    import torch

    def write(prompts: list[list[int]], tokens: int) -> Written:
        ids = torch.tensor(prompts)
        seen: list[float] = []
        with torch.inference_mode():
            found = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                stopping_criteria=[_clock(seen)],
                **_greedy(tokens),
            )
        return found[:, ids.shape[1] :].tolist(), [seen] * len(prompts)

    return write


def _pipeline(model: Any, tokenizer: Any) -> Callable[[list[list[int]], int], Written]:  # noqa: ANN401
    """Ask the pipeline with texts, one after the other, as its first example does."""
    from transformers import pipeline

    writer = pipeline("text-generation", model=model, tokenizer=tokenizer)

    def write(prompts: list[list[int]], tokens: int) -> Written:
        answers, moments = [], []
        for ids in prompts:
            seen: list[float] = []
            found = writer(
                prompt_text(ids),
                return_tensors=True,
                stopping_criteria=[_clock(seen)],
                **_greedy(tokens),
            )
            answers.append(list(found[0]["generated_token_ids"])[len(ids) :])
            moments.append(seen)
        return answers, moments

    return write


def _greedy(tokens: int) -> dict[str, object]:
    """Say in Transformers' words that exactly so many tokens are wanted."""
    return {"do_sample": False, "min_new_tokens": tokens, "max_new_tokens": tokens}


def _clock(seen: list[float]) -> Callable[..., Any]:
    """Note when each token is there; it never stops."""
    import torch

    def look(ids: torch.Tensor, scores: Sequence[object], **_: object) -> torch.Tensor:  # noqa: ARG001
        seen.append(time.perf_counter())
        return torch.zeros(ids.shape[0], dtype=torch.bool)

    return look
