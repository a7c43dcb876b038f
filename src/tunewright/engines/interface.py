"""What an engine is: the one small interface behind which every runtime stands.

An engine converts a model once into a copy (a folder), and opens that copy as a ``Scorer`` (classification) or as a
``Generator`` (language models). Engines are found through the entry point group ``tunewright.engines``, so that a
package of anybody's can add one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from tunewright.support.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Task = Literal["classification", "generation"]
Finish = Literal["stop", "length", "cancelled"]
SEPARATOR = ":"


@dataclass(frozen=True, slots=True, order=True)
class Form:
    """An engine with a precision, written ``openvino:int8``."""

    engine: str
    precision: str

    def __str__(self) -> str:
        """As a person writes it."""
        return f"{self.engine}{SEPARATOR}{self.precision}"

    @classmethod
    def parse(cls, word: str) -> Form:
        """Read ``ENGINE:PRECISION``.

        Raises:
            InputError: When it isn't that.
        """
        engine, separator, precision = word.partition(SEPARATOR)
        if not (engine and separator and precision):
            raise InputError("is no engine and precision", place=f"'{word}'", mend="write openvino:int8")
        return cls(engine, precision)


@dataclass(frozen=True, slots=True)
class Source:
    """A whole model on disk, as an engine converts it: adapter folded in, plain Transformers layout."""

    task: Task
    folder: Path
    """Weights (safetensors), ``config.json``, tokenizer."""
    config: Mapping[str, Any]
    """``config.json``, read."""
    digest: str
    """Identity of the weights."""
    labels: int = 0
    """Of a classifier."""

    @property
    def architecture(self) -> str:
        """Transformers' name of it, such as ``bert`` or ``llama``."""
        return str(self.config.get("model_type", ""))


class Scorer(Protocol):
    """An encoder with its head, opened: token ids in, logits and features out."""

    @property
    def lanes(self) -> int:
        """Batches that may be scored at the same time, each from a thread of its own."""
        ...

    @property
    def prefers_few_shapes(self) -> bool:
        """Whether a batch of a shape not met before costs more than some padding: widths are rounded up then."""
        ...

    def score(
        self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Score one batch.

        Args:
            ids: Token ids, (rows, width), padded.
            mask: 1 at tokens and 0 at padding, (rows, width).

        Returns:
            Logits (rows, labels), and what the last layer sees, (rows, features).
        """
        ...

    def close(self) -> None:
        """Give memory and threads back."""
        ...


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen; the defaults take the most probable one."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    """0: greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0: all."""
    seed: int = 0
    logprobs: int = 0
    """Alternatives whose log-probability is told beside each token's own; -1: none at all is told."""
    json_schema: str | None = None
    """The answer must match this JSON schema, given as JSON text."""
    ignores_stops: bool = False
    """Go on behind stop tokens until ``max_new_tokens``: so that a timing knows how much is written."""
    written: int = 0
    """Tokens at the end of the prompt that are the answer's own already: draws go on behind theirs."""


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt to be gone on from."""

    id: str
    prompt_ids: tuple[int, ...]
    sampling: Sampling = field(default_factory=Sampling)
    adapter: str = ""
    """The adapter to answer with, where several stand on one base."""


@dataclass(frozen=True, slots=True)
class TokenScore:
    """How likely a written token was (nats), and the likeliest others."""

    logprob: float
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """What an engine wrote for one request since the last look."""

    request_id: str
    token_ids: tuple[int, ...] = ()
    scores: tuple[TokenScore, ...] = ()
    """One a token, where asked for."""
    finish: Finish | None = None
    """Why it ended, with the last chunk; ``stop`` when its last token is a stop token."""


class Generator(Protocol):
    """A causal model, opened: requests go in at any time, each step gives tokens."""

    @property
    def batches_continuously(self) -> bool:
        """Whether a request joins a batch that is under way; else it waits until that batch has ended."""
        ...

    @property
    def slots(self) -> int:
        """Requests that are worked on at once."""
        ...

    def add(self, request: Request) -> None:
        """Take a request in.

        Raises:
            InputError: When a setting is one that this engine can't heed.
        """
        ...

    def step(self) -> list[Chunk]:
        """Go on by one step; empty when there is nothing to do."""
        ...

    def drop(self, request_id: str) -> None:
        """Forget a request whose reader has left and free its slot; one that has ended is no error."""
        ...

    def close(self) -> None:
        """Give memory and threads back."""
        ...


@runtime_checkable
class Scoring(Protocol):
    """A generator that can also say how likely given tokens are; not every engine's can."""

    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return the log-probability (nats) of each token but the first, given those before it.

        Args:
            sequences: Token ids, at least two each; they may be scored together.
        """
        ...


@runtime_checkable
class Adapting(Protocol):
    """A generator that holds several adapters on its base and mixes them in a step; not every engine's can.

    A request names the one that it is answered with (``Request.adapter``); one that names none gets the base.
    """

    def bring(self, name: str, folder: Path) -> None:
        """Take an adapter in.

        Args:
            name: What requests call it.
            folder: Its copy, which stands on this base.

        Raises:
            InputError: When it doesn't fit the base, or can't be mixed with others.
        """
        ...

    def forget(self, name: str) -> None:
        """Give an adapter's memory back; one that isn't there is no error. No request may be using it."""
        ...


class Engine(Protocol):
    """A runtime: what it can convert, how, and how a copy is opened."""

    name: str
    packages: tuple[str, ...]
    """Distributions that it needs; their versions are written into each copy."""
    extra: str
    """The extra of tunewright that brings them."""

    def precisions(self, task: Task) -> tuple[str, ...]:
        """Precisions that it offers for a task; empty where it doesn't do that task."""
        ...

    def stored_as(self, precision: str) -> str:
        """Return the precision whose files this one shares; the precision itself where it has files of its own."""
        ...

    def refusal(self, source: Source, precision: str) -> str:
        """Say why a model can't be converted rightly, and which engine to take instead; empty when it can."""
        ...

    def convert(
        self, source: Source, precision: str, folder: Path, calibration: Sequence[Sequence[int]]
    ) -> None:
        """Write a copy.

        Args:
            source: The model.
            precision: One of ``precisions``.
            folder: Where to; it exists and is empty.
            calibration: Token ids of real texts, for precisions that need to see some.
        """
        ...

    def open_scorer(self, folder: Path, precision: str, threads: int) -> Scorer:
        """Open a classifier's copy on so many threads."""
        ...

    def open_generator(self, folder: Path, precision: str, threads: int, slots: int) -> Generator:
        """Open a language model's copy on so many threads, for so many requests at once."""
        ...
