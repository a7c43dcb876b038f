"""An engine from a stranger's package: OpenVINO's answers, until a file says that it should go wrong."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tunewright.engines.runtimes.openvino import OpenVINOEngine

ORDERS = "LATE_ORDERS"
"""Names the variable with the path of a file that says what to do: raise, sleep, die, or nothing."""


class LateEngine:
    name = "late"
    packages = ("openvino",)
    extra = ""

    def open_scorer(self, folder: Path, precision: str, threads: int):
        return LateScorer(OpenVINOEngine().open_scorer(folder, precision, threads))


class LateScorer:
    def __init__(self, inner) -> None:
        self.inner = inner
        self.lanes = inner.lanes

    def score(self, ids, mask):
        orders = Path(os.environ[ORDERS])
        order = orders.read_text() if orders.exists() else ""
        if order == "raise":
            raise ValueError("out of tune")
        if order == "die":
            os._exit(3)
        if order == "sleep":
            time.sleep(0.3)
        return self.inner.score(ids, mask)

    def close(self) -> None:
        self.inner.close()
