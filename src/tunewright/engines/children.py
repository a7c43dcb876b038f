"""Conversion and measurement in processes of their own: their memory is theirs, and so is a crash.

The parent hands a job over as JSON on standard input and reads the answer from a file; what libraries print is kept
from the screen and told when the child fails.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from tunewright.engines.interface import Form, Source, Task  # noqa: TC001 -- pydantic reads the annotations
from tunewright.registry.language_certificate import LanguageCertificate  # noqa: TC001 -- as above
from tunewright.support.errors import TunewrightError

MODULE = "tunewright.engines.child"
ALONE = 64
"""Test rows that a measurement also asks alone: other neighbours than in their batch, namely none."""
Work = Literal["convert", "measure", "measure-language"]
AnyAnswer = TypeVar("AnyAnswer", bound=BaseModel)


class Job(BaseModel):
    """What a child is to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ConvertJob(Job):
    """Convert a model into an empty folder."""

    task: Task
    source: Path
    config: dict[str, Any]
    digest: str
    labels: int
    form: Form
    folder: Path
    calibration: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, source: Source, form: Form, folder: Path, calibration: Sequence[Sequence[int]]) -> ConvertJob:
        """Describe a conversion."""
        return cls(
            task=source.task,
            source=source.folder,
            config=dict(source.config),
            digest=source.digest,
            labels=source.labels,
            form=form,
            folder=folder,
            calibration=tuple(map(tuple, calibration)),
        )


class MeasureJob(Job):
    """Open a classifier's copy, let it answer, and time it."""

    folder: Path
    threads: int
    probes: tuple[str, ...]
    texts: tuple[str, ...]
    """The frozen test rows, as they come."""
    seconds: float = Field(gt=0)
    """Time that each timing takes, at least."""
    logits: Path
    """Where the logits go (``.npz``: ``alone``, ``together``, ``narrow``, ``widened``, ``texts``, ``rebatched``)."""


class Measured(BaseModel):
    """What a child found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token_ids: tuple[tuple[int, ...], ...]
    """Of the probes."""
    cleaned: tuple[str, ...]
    """The probes after cleaning."""
    load_seconds: float
    """From the copy's files to the first answer."""
    latency_p50_ms: float
    """Wall time of one text, asked alone."""
    latency_p95_ms: float
    texts_per_second: float
    """Wall, in sorted batches on all its threads."""
    texts_per_cpu_second: float
    memory_mib: float
    """Resident memory of the process at its peak."""


class LanguageMeasureJob(Job):
    """Open a language model's copy, let it answer the certificate's probes, and time it."""

    folder: Path
    threads: int
    certificate: LanguageCertificate
    prompts: tuple[tuple[int, ...], ...] = Field(min_length=1)
    """Token ids of the prompts that are timed, of the lengths that are met in use."""
    new_tokens: int = Field(gt=0)
    """Tokens that each timed answer has."""
    batches: tuple[int, ...] = (1, 8, 32)
    """Requests at once."""
    questions: tuple[tuple[int, ...], ...] = ()
    """Token ids of the prompts of frozen test rows, to be answered greedily."""
    answer_tokens: int = 256
    """Tokens of such an answer, at most."""
    seconds: float = Field(gt=0)
    """Time that each timing takes, at least."""


class Spoken(BaseModel):
    """What a copy wrote behind one probe, greedily."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ids: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    """Of each, in nats."""


class Timed(BaseModel):
    """How fast a copy writes for so many requests at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: int
    prompt_tokens: int
    """Read in the whole timing."""
    output_tokens: int
    """Written in the whole timing."""
    tokens_per_second: float
    """Written, by wall time that reading the prompts is part of."""
    tokens_per_cpu_second: float
    first_token_seconds: float
    """From asking to a request's first token, the median."""


class LanguageMeasured(BaseModel):
    """What a child found about a language model's copy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: tuple[str, ...]
    """Of the probes, as rendered."""
    token_ids: tuple[tuple[int, ...], ...]
    alone: tuple[Spoken, ...]
    """The probes asked one by one."""
    together: tuple[Spoken, ...]
    given_alone: tuple[tuple[float, ...], ...] | None
    """Log-probabilities of the certified tokens; None where the engine can't score given ones."""
    given_together: tuple[tuple[float, ...], ...] | None
    answers: tuple[tuple[int, ...], ...] = ()
    """To the questions."""
    timings: tuple[Timed, ...]
    load_seconds: float
    """From the copy's files to the first token."""
    memory_mib: float
    """Resident memory of the process at its peak."""


def every_alone(rows: int) -> int:
    """Return the step between test rows that are also asked alone."""
    return max(1, rows // ALONE)


def run_child(work: Work, job: Job, *, what: str, answer: type[AnyAnswer] | None = None) -> AnyAnswer | None:
    """Run a job in a process of its own and return its answer.

    Args:
        work: What to do.
        job: With what.
        what: Names the job in errors.
        answer: How to read the answer; None where none is expected.

    Raises:
        TunewrightError: When the child fails or is killed, with its last words.
    """
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "answer.json"
        done = subprocess.run(
            [sys.executable, "-m", MODULE, work, str(out)],
            input=job.model_dump_json(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise _failed(done, what)
        return answer.model_validate_json(out.read_text(encoding="utf-8")) if answer else None


def _failed(done: subprocess.CompletedProcess[str], what: str) -> TunewrightError:
    """Say how a child ended and what it said last."""
    killed = done.returncode < 0
    fact = f"its process was ended by {signal.Signals(-done.returncode).name}" if killed else "it failed"
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    last = said[-1][:300] if said else "without a word"
    error = TunewrightError(f"{fact} ({last})", place=what, mend="use another engine")
    error.add_note("\n".join(said[-40:]))
    return error
