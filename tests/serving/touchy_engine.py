"""An engine from a stranger's package: exact answers, slow on demand, and deadly texts."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

KILL, RAISE, HANG = "z", "q", "x"
"""A text that holds one of these words alone ends the process, raises, or never comes back."""


def row_logits(ids: list[int]) -> list[float]:
    """An answer that depends on every token of the row and on nothing else."""
    return [
        float(sum(ids) % 7),
        float(sum(at * each for at, each in enumerate(ids)) % 5),
        float(len(ids) % 3),
    ]


class TouchyEngine:
    name = "touchy"
    packages = ("touchy",)
    extra = ""

    def open_scorer(self, folder: Path, precision: str, threads: int):  # noqa: ARG002
        return TouchyScorer(folder, threads)

    def open_generator(self, folder: Path, precision: str, threads: int, slots: int):  # noqa: ARG002
        return TouchyWriter(folder, slots)


class TouchyScorer:
    prefers_few_shapes = False

    def __init__(self, folder: Path, threads: int) -> None:
        vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
        self.kill, self.raise_, self.hang = (vocabulary[word] for word in (KILL, RAISE, HANG))
        self.lanes = threads
        self.seconds = float(os.environ.get("TOUCHY_SECONDS", "0"))
        time.sleep(float(os.environ.get("TOUCHY_LOADING", "0")))

    def score(self, ids, mask):
        import numpy as np

        if (ids == self.kill).any():
            os.kill(os.getpid(), signal.SIGKILL)
        if (ids == self.raise_).any():
            raise ValueError("this text makes me sad")
        if (ids == self.hang).any():
            time.sleep(1000)
        time.sleep(self.seconds)
        rows = [row[seen.astype(bool)].tolist() for row, seen in zip(ids, mask, strict=True)]
        return np.array([row_logits(row) for row in rows], np.float32), np.ones((len(rows), 4), np.float32)

    def close(self) -> None:
        pass


class TouchyWriter:
    """Writes what only the tokens so far decide, so that an answer that is gone on with is the same as before."""

    batches_continuously = True

    def __init__(self, folder: Path, slots: int) -> None:
        from tokenizers import Tokenizer

        vocabulary = Tokenizer.from_file(str(folder / "language" / "tokenizer.json")).get_vocab()
        self.kill, self.raise_, self.hang = (vocabulary[word] for word in (KILL, RAISE, HANG))
        self.slots = slots
        self.seconds = float(os.environ.get("TOUCHY_SECONDS", "0"))
        self.deadly_step = int(os.environ.get("TOUCHY_DEADLY_STEP", "2"))
        self.rows: dict[str, tuple[list[int], int, int]] = {}

    def add(self, request) -> None:
        from tunewright.support.errors import InputError

        if request.sampling.json_schema:
            raise InputError("the engine touchy can't heed a JSON schema", mend="use another engine")
        ids = list(request.prompt_ids)
        self.rows[request.id] = ids, len(ids), request.sampling.max_new_tokens

    def step(self):
        from tunewright.engines.interface import Chunk

        time.sleep(self.seconds)
        chunks = []
        for name, (ids, first, left) in list(self.rows.items()):
            if len(ids) - first + 1 >= self.deadly_step:
                self.suffer(ids)
            ids.append(next_token(ids))
            self.rows[name] = ids, first, left - 1
            chunks.append(Chunk(name, (ids[-1],), (), "length" if left == 1 else None))
            if left == 1:
                del self.rows[name]
        return chunks

    def suffer(self, ids: list[int]) -> None:
        if self.kill in ids:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.raise_ in ids:
            raise ValueError("this prompt makes me sad")
        if self.hang in ids:
            time.sleep(1000)

    def drop(self, name: str) -> None:
        self.rows.pop(name, None)

    def close(self) -> None:
        pass


def next_token(ids: list[int]) -> int:
    """A word's token that depends on every token before it."""
    return 300 + sum(at * each for at, each in enumerate(ids, start=1)) % 900


def written(prompt: list[int], count: int) -> list[int]:
    """What an undisturbed writer writes."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(next_token(ids))
    return ids[len(prompt) :]
