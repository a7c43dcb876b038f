"""An engine from a stranger's package: OpenVINO's answers, until a file says that it should go wrong."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tunewright.engines.runtimes.openvino import OpenVINOEngine

ORDERS = "LATE_ORDERS"
"""Names the variable with the path of a file that says what to do: raise, sleep (SECONDS), die, or nothing."""
SLEEP_S = 0.3


class LateEngine:
    name = "late"
    packages = ("openvino",)
    extra = ""

    def open_scorer(self, folder: Path, precision: str, threads: int):
        return LateScorer(OpenVINOEngine().open_scorer(folder, precision, threads))

    def open_generator(self, folder: Path, precision: str, threads: int, slots: int):
        return LateWriter(OpenVINOEngine().open_generator(folder, precision, threads, slots))


class LateScorer:
    def __init__(self, inner) -> None:
        self.inner = inner
        self.lanes = inner.lanes
        self.prefers_few_shapes = inner.prefers_few_shapes

    def score(self, ids, mask):
        heed_orders()
        return self.inner.score(ids, mask)

    def close(self) -> None:
        self.inner.close()


class LateWriter:
    batches_continuously = True

    def __init__(self, inner) -> None:
        self.inner = inner
        self.slots = inner.slots

    def add(self, request) -> None:
        self.inner.add(request)

    def step(self):
        heed_orders()
        return self.inner.step()

    def drop(self, request_id: str) -> None:
        self.inner.drop(request_id)

    def close(self) -> None:
        self.inner.close()


def heed_orders() -> None:
    """Do what the file says before a batch, or a step, is worked on."""
    orders = Path(os.environ[ORDERS])
    order = orders.read_text() if orders.exists() else ""
    if order == "raise":
        raise ValueError("out of tune")
    if order == "die":
        os._exit(3)
    if order.startswith("sleep"):
        time.sleep(float(order.partition(" ")[2] or SLEEP_S))
