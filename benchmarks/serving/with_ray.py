"""The classifier behind Ray Serve with its batching on: ``python with_ray.py KIND FOLDER PORT``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import ray
from ray import serve
from starlette.requests import Request  # noqa: TC002 -- Ray reads the annotation

BENCHMARKS = str(Path(__file__).resolve().parents[1])
MOST_AT_ONCE = 1024
"""Requests that a replica holds; its default of 5 would keep batches from filling."""


@serve.deployment(max_ongoing_requests=MOST_AT_ONCE)
class Classifier:
    """One text a request, answered in batches."""

    def __init__(self, kind: str, folder: str) -> None:
        sys.path.insert(0, BENCHMARKS)
        from serving.answering import BATCH, WAIT_S, opened

        self.open = opened(kind, folder)
        self.answer.set_max_batch_size(BATCH)
        self.answer.set_batch_wait_timeout_s(WAIT_S)

    @serve.batch
    async def answer(self, texts: list[str]) -> list[str]:
        """Answer a batch."""
        return self.open(texts)

    async def __call__(self, request: Request) -> dict[str, str]:
        """Answer one request."""
        return {"label": await self.answer((await request.json())["input"])}


if __name__ == "__main__":
    kind, folder, port = sys.argv[1:]
    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
    serve.run(Classifier.bind(kind, folder))
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
