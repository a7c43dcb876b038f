"""Continuous batching over anything that gives logits: requests join and leave between two steps.

Each request holds a slot of the decoder's cache at its own length. A step either reads the prompts of those that wait
or writes one token for every slot; who has ended leaves at once, and the last slot moves into the gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tunewright.engines.batching import batches
from tunewright.engines.interface import Chunk
from tunewright.engines.sampling import Chooser, log_softmax, require_plain, room
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.engines.grammar import Constraint, Grammars
    from tunewright.engines.interface import Finish, Request
    from tunewright.engines.language_side import LanguageFacts

    Logits = npt.NDArray[np.float32]

PROMPT_BUDGET = 1024
"""Padded prompt tokens that one step reads: more would keep running answers waiting for long."""


class Decoder(Protocol):
    """A causal model with a cache of slots, the first so many of which are in use."""

    def read(self, prompts: Sequence[Sequence[int]], first: int, adapters: Sequence[str] = ()) -> Logits:
        """Read prompts into the slots from ``first`` on; return the logits behind each, (prompts, vocabulary).

        Args:
            prompts: Token ids.
            first: Slot of the first.
            adapters: Each prompt's adapter, for decoders that mix some; none at all: the base for all.
        """
        ...

    def write(self, tokens: Sequence[int], lengths: Sequence[int], adapters: Sequence[str] = ()) -> Logits:
        """Append a token to each of the first slots, which hold ``lengths`` tokens; return the logits behind.

        ``adapters`` as in ``read``.
        """
        ...

    def move(self, source: int, target: int, length: int) -> None:
        """Copy so many tokens of a slot to another."""
        ...

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[Logits]:
        """Return the logits behind every token of each sequence, without touching the slots."""
        ...

    def close(self) -> None:
        """Give memory back."""
        ...


@dataclass(frozen=True, slots=True)
class Side:
    """What surrounds the weights that a request is answered with."""

    facts: LanguageFacts
    """Stop tokens and limits."""
    grammars: Grammars
    """Reads JSON schemas."""


@dataclass(slots=True, eq=False)
class _Row:
    """A request that is being answered."""

    request: Request
    facts: LanguageFacts
    chooser: Chooser
    left: int
    """Tokens that it may still get."""
    length: int = 0
    """Tokens that its slot holds."""
    last: int = -1


class SteppingGenerator:
    """A ``Generator`` that batches continuously over a ``Decoder``.

    Args:
        decoder: The model.
        facts: Its stop tokens and limits.
        slots: Requests at once.
        engine: Names the engine in errors.
        grammars: Reads JSON schemas.
    """

    batches_continuously = True

    def __init__(
        self, decoder: Decoder, facts: LanguageFacts, slots: int, *, engine: str, grammars: Grammars
    ) -> None:
        self.slots = slots
        self._decoder = decoder
        self._side = Side(facts, grammars)
        self._engine = engine
        self._waiting: deque[_Row] = deque()
        self._running: list[_Row] = []

    def add(self, request: Request) -> None:
        """Take a request in (see ``Generator``)."""
        side = self._side_of(request)
        if any(row.request.id == request.id for row in (*self._waiting, *self._running)):
            raise InputError("is already being answered", place=f"request {request.id}")
        left = room(request, side.facts)
        chooser = Chooser(request.sampling, _constraint(request, side.grammars))
        self._waiting.append(_Row(request, side.facts, chooser, left))

    def step(self) -> list[Chunk]:
        """Read waiting prompts where there is a free slot, else write one token for each running request."""
        joining = self._joining()
        if joining:
            first = len(self._running)
            prompts = [row.request.prompt_ids for row in joining]
            logits = self._decoder.read(prompts, first, [row.request.adapter for row in joining])
            for row in joining:
                row.length = len(row.request.prompt_ids)
            self._running += joining
            rows = joining
        elif self._running:
            rows = list(self._running)
            logits = self._decoder.write(
                [row.last for row in rows],
                [row.length for row in rows],
                [row.request.adapter for row in rows],
            )
            for row in rows:
                row.length += 1
        else:
            return []
        chunks = [self._chosen(row, values) for row, values in zip(rows, logits, strict=True)]
        for row, chunk in zip(rows, chunks, strict=True):
            if chunk.finish:
                self._leave(row)
        return chunks

    def drop(self, request_id: str) -> None:
        """Forget a request (see ``Generator``)."""
        self._waiting = deque(row for row in self._waiting if row.request.id != request_id)
        for row in [row for row in self._running if row.request.id == request_id]:
            self._leave(row)

    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return the log-probability of each token but the first (see ``Scoring``)."""
        found: list[list[float]] = [[] for _ in sequences]
        for rows in batches([len(ids) for ids in sequences], token_budget=PROMPT_BUDGET):
            for row, logits in zip(rows, self._decoder.logits([sequences[row] for row in rows]), strict=True):
                values = log_softmax(logits[:-1])
                targets = list(sequences[row][1:])
                found[row] = values[range(len(targets)), targets].tolist()
        return found

    def close(self) -> None:
        """Give memory and threads back."""
        self._waiting.clear()
        self._running.clear()
        self._decoder.close()

    def _side_of(self, request: Request) -> Side:
        """Return what surrounds the weights that a request is answered with.

        Raises:
            InputError: When it asks for an adapter.
        """
        require_plain(request, engine=self._engine)
        return self._side

    def _joining(self) -> list[_Row]:
        """Take from the waiting ones those that fit into free slots and the budget; in their order, at least one."""
        rows: list[_Row] = []
        width = 0
        while self._waiting and len(self._running) + len(rows) < self.slots:
            width = max(width, len(self._waiting[0].request.prompt_ids))
            if rows and width * (len(rows) + 1) > PROMPT_BUDGET:
                break
            rows.append(self._waiting.popleft())
        return rows

    def _chosen(self, row: _Row, logits: Logits) -> Chunk:
        """Choose a row's next token."""
        token, score = row.chooser.choose(logits)
        row.last = token
        row.left -= 1
        finish: Finish | None = None
        if token in row.facts.stop_ids and not row.request.sampling.ignores_stops:
            finish = "stop"
        elif row.left < 1:
            finish = "length"
        return Chunk(row.request.id, (token,), (score,) if score else (), finish)

    def _leave(self, row: _Row) -> None:
        """Free a row's slot; the last one moves into it."""
        at = self._running.index(row)
        last = self._running.pop()
        if last is not row:
            self._decoder.move(len(self._running), at, last.length)
            self._running[at] = last


def _constraint(request: Request, grammars: Grammars) -> Constraint | None:
    """Return what keeps an answer to its schema."""
    schema, count = request.sampling.json_schema, request.sampling.written
    if schema is None:
        return None
    return grammars.answer(schema, request.prompt_ids[len(request.prompt_ids) - count :])
