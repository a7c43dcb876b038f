"""The classifier behind LitServe with its batching on: ``python with_litserve.py KIND FOLDER PORT``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import litserve

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from serving.answering import BATCH, WAIT_S, opened


class Api(litserve.LitAPI):
    """One text a request, answered in batches."""

    def __init__(self, kind: str, folder: str) -> None:
        super().__init__(max_batch_size=BATCH, batch_timeout=WAIT_S)
        self.kind, self.folder = kind, folder

    def setup(self, device: str) -> None:  # noqa: ARG002 -- LitServe's signature
        """Open the model in the worker."""
        self.answer = opened(self.kind, self.folder)

    def decode_request(self, request: dict[str, str]) -> str:
        """Take the text out."""
        return request["input"]

    def predict(self, texts: list[str]) -> list[str]:
        """Answer a batch."""
        return self.answer(texts)

    def encode_response(self, output: str) -> dict[str, Any]:
        """Answer one request."""
        return {"label": output}


if __name__ == "__main__":
    kind, folder, port = sys.argv[1:]
    server = litserve.LitServer(Api(kind, folder), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="warning")
