"""A language model in a worker: requests join between two steps, and what a step wrote goes out at once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.engines.interface import Adapting, Request, Sampling
from tunewright.serving.frames import (
    Bring,
    Brought,
    Failed,
    Forget,
    Leave,
    Opened,
    Piece,
    Write,
    Written,
    in_a_line,
)
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.engines.interface import Chunk, Generator
    from tunewright.serving.worker import Line

FAILED_EXIT = 3
"""Of a worker whose engine failed in the middle of a step: the front starts another, and gives it what this one had."""


def serve_language_model(line: Line, folder: Path, threads: int, slots: int) -> None:
    """Open a copy, say so, and write until the front is gone.

    Args:
        line: To the front.
        folder: The copy.
        threads: Processor threads of the engine.
        slots: Answers that are written at once.
    """
    from tunewright.engines.copies import language_facts, open_generator

    generator = open_generator(folder, threads=threads, slots=slots)
    _warm_up(generator, language_facts(folder).pad_id)
    line.say(Opened(slots))
    going: set[str] = set()
    try:
        while True:
            _take(line, generator, going, folder)
            _step(line, generator, going)
    except Exception as error:  # noqa: BLE001 -- an engine in an unknown state is not asked again
        line.say(Failed(0, in_a_line(error)))
        os._exit(FAILED_EXIT)


def _take(line: Line, generator: Generator, going: set[str], folder: Path) -> None:
    """Take in what the front says; wait for it where there is nothing to write."""
    for told in line.all(waits=not going):
        if isinstance(told, Write):
            _add(line, generator, told, going)
        elif isinstance(told, Leave):
            generator.drop(str(told.number))
            going.discard(str(told.number))
        elif isinstance(told, Bring):
            _bring(line, generator, told, folder)
        elif isinstance(told, Forget) and isinstance(generator, Adapting):
            generator.forget(told.name)


def _bring(line: Line, generator: Generator, told: Bring, folder: Path) -> None:
    """Take an adapter in; whatever is wrong with it, the others go on."""
    from tunewright.engines.copies import bring_adapter, read_manifest

    why = ""
    try:
        bring_adapter(generator, read_manifest(folder).model_digest, told.name, Path(told.folder))
    except Exception as error:  # noqa: BLE001 -- the front must hear of it
        why = in_a_line(error)
    line.say(Brought(told.name, why))


def _add(line: Line, generator: Generator, told: Write, going: set[str]) -> None:
    try:
        generator.add(Request(str(told.number), tuple(told.ids), told.sampling, told.adapter))
    except InputError as error:
        line.say(Failed(told.number, f"{error.fact}; {error.mend}" if error.mend else error.fact))
    else:
        going.add(str(told.number))


def _step(line: Line, generator: Generator, going: set[str]) -> None:
    """Write a step, and tell what came of it."""
    if not going:
        return
    began = time.perf_counter()
    chunks = generator.step()
    seconds = time.perf_counter() - began
    going.difference_update(chunk.request_id for chunk in chunks if chunk.finish)
    if chunks:
        line.say(Written(list(_pieces(chunks)), seconds))


def _pieces(chunks: Iterable[Chunk]) -> Iterable[Piece]:
    for chunk in chunks:
        yield Piece(int(chunk.request_id), list(chunk.token_ids), list(chunk.scores), chunk.finish)


def _warm_up(generator: Generator, token: int) -> None:
    """Write one token: the first step is slow on most engines, and nobody should wait for it."""
    generator.add(Request("warm-up", (token,), Sampling(max_new_tokens=1, logprobs=-1)))
    while not any(chunk.finish for chunk in generator.step()):
        pass
