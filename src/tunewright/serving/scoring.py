"""A classifier in a worker: one batch after the other on each of the engine's lanes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.serving.frames import Failed, Opened, Scored, Work, in_a_line

if TYPE_CHECKING:
    from tunewright.engines.classifier import EngineClassifier
    from tunewright.serving.frames import Said
    from tunewright.serving.worker import Line


def serve_classifier(line: Line, folder: Path, threads: int) -> None:
    """Open a copy, say so, and begin to score.

    Args:
        line: To the front.
        folder: The copy.
        threads: Processor threads of the engine.
    """
    from tunewright.engines.copies import open_classifier

    model = open_classifier(folder, threads=threads)
    model.logits([""])  # the first batch is slow on most engines: nobody should wait for it
    lanes = ThreadPoolExecutor(model.scorer.lanes)
    for _ in range(model.scorer.lanes):
        lanes.submit(_score_all, line, model)
    line.say(Opened(model.scorer.lanes))


def _score_all(line: Line, model: EngineClassifier) -> None:
    """Score one batch after the other."""
    while True:
        work = line.next()
        if not isinstance(work, Work):
            continue
        try:
            said: Said = _score(model, work)
        except Exception as error:  # noqa: BLE001 -- whatever an engine raises, the front must hear of it
            said = Failed(work.number, in_a_line(error))
        line.say(said)


def _score(model: EngineClassifier, work: Work) -> Scored:
    began = time.perf_counter()
    logits, features = model.score(work.ids)
    seconds = time.perf_counter() - began
    wanted = features.astype("float32").tobytes() if work.with_features else b""
    return Scored(work.number, logits.astype("float32").tobytes(), wanted, seconds)
