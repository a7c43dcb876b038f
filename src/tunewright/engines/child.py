"""What runs in a child process (``children.py``): ``python -m tunewright.engines.child WORK OUT < JOB``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.engines.children import ConvertJob, LanguageMeasureJob, Measured, MeasureJob, every_alone
from tunewright.engines.widths import beside_every_width
from tunewright.support.environment import prepare_environment
from tunewright.support.files import write_text
from tunewright.support.memory import peak_bytes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.engines.classifier import EngineClassifier

MIB = 1 << 20
LEAST_SINGLES = 30


def main() -> None:
    """Do one job."""
    prepare_environment()
    work, out = sys.argv[1:]
    job = sys.stdin.read()
    if work == "convert":
        convert(ConvertJob.model_validate_json(job))
    elif work == "measure-language":
        from tunewright.engines.language_measuring import measure_language_model

        found = measure_language_model(LanguageMeasureJob.model_validate_json(job))
        write_text(Path(out), found.model_dump_json())
    else:
        write_text(Path(out), measure(MeasureJob.model_validate_json(job)).model_dump_json())


def convert(job: ConvertJob) -> None:
    """Convert a model."""
    from tunewright.engines.catalogue import engine
    from tunewright.engines.interface import Source

    source = Source(job.task, job.source, job.config, job.digest, job.labels)
    engine(job.form.engine).convert(source, job.form.precision, job.folder, job.calibration)


def measure(job: MeasureJob) -> Measured:
    """Open a copy, write down its logits, and time it."""
    import numpy as np

    from tunewright.data.text_cleaning import clean_text
    from tunewright.engines.copies import open_classifier

    began = time.perf_counter()
    model = open_classifier(job.folder, threads=job.threads)
    model.logits([job.probes[0]])
    load_seconds = time.perf_counter() - began
    probes, texts = list(job.probes), list(job.texts)
    found = {
        "together": model.logits(probes),
        "alone": np.concatenate([model.logits([text]) for text in probes]),
        "texts": model.logits(texts),
        "rebatched": np.concatenate([model.logits([text]) for text in texts[:: every_alone(len(texts))]]),
    }
    found |= _beside_every_width(model, model.encode(probes))
    save: Any = np.savez  # its stub takes every name for an option
    save(job.logits, **found)
    p50, p95 = _latency(model, texts, job.seconds)
    wall, cpu = _throughput(model, texts, job.seconds)
    return Measured(
        token_ids=tuple(map(tuple, model.encode(probes))),
        cleaned=tuple(clean_text(text, model.cleaning) for text in probes),
        load_seconds=load_seconds,
        latency_p50_ms=p50 * 1000,
        latency_p95_ms=p95 * 1000,
        texts_per_second=wall,
        texts_per_cpu_second=cpu,
        memory_mib=peak_bytes() / MIB,
    )


def _beside_every_width(model: EngineClassifier, ids: list[list[int]]) -> dict[str, npt.NDArray[np.float32]]:
    """Score short texts in batches of every width, ``widened``, and alone, ``narrow``."""
    import numpy as np

    widened, narrow = [], []
    for rows, wide in beside_every_width(ids, model.text.facts.max_length):
        widened.append(model.score([*rows, wide])[0][: len(rows)])
        narrow += [model.score([row])[0] for row in rows]
    return {"widened": np.concatenate(widened), "narrow": np.concatenate(narrow)}


def _latency(model: EngineClassifier, texts: list[str], seconds: float) -> tuple[float, float]:
    """Ask texts one by one for some time; return median and 95th percentile, in seconds."""
    import numpy as np

    took: list[float] = []

    def once() -> None:
        began = time.perf_counter()
        model.logits([texts[len(took) % len(texts)]])
        took.append(time.perf_counter() - began)

    _repeat(once, seconds, least=LEAST_SINGLES)
    return float(np.percentile(took, 50)), float(np.percentile(took, 95))


def _throughput(model: EngineClassifier, texts: list[str], seconds: float) -> tuple[float, float]:
    """Ask all texts again and again; return texts a second of wall and of processor time."""
    passes = 0

    def once() -> None:
        nonlocal passes
        model.logits(texts)
        passes += 1

    began, spent = time.perf_counter(), time.process_time()
    _repeat(once, seconds, least=1)
    asked = passes * len(texts)
    return asked / (time.perf_counter() - began), asked / (time.process_time() - spent)


def _repeat(once: Callable[[], None], seconds: float, *, least: int) -> None:
    end = time.perf_counter() + seconds
    count = 0
    while count < least or time.perf_counter() < end:
        once()
        count += 1


if __name__ == "__main__":
    main()
