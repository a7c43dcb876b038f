"""A classifier that is served: texts in, answers out, with a queue, a batcher and a worker behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.models.classifier import predictions
from tunewright.serving.admission import Admission
from tunewright.serving.batcher import Batcher
from tunewright.serving.faults import ServingError, timed_out, unanswerable
from tunewright.serving.keeper import Batch, Keeper
from tunewright.serving.served import Identity, ServedModel, watched
from tunewright.serving.ticket import Ticket

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.config.serving import ServingConfig
    from tunewright.engines.text_side import SplitText, TextSide
    from tunewright.models.classifier import Prediction
    from tunewright.serving.batcher import Row
    from tunewright.serving.frames import Scored
    from tunewright.serving.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a request's texts, in their order."""

    predictions: list[Prediction]
    features: list[npt.NDArray[np.float32]]
    """What the last layer sees of each text, where asked for."""
    tokens: int
    text_tokens: Sequence[int]
    """Tokens of each text."""
    queue_seconds: float
    """The longest wait of a text in the queue."""


class ServedClassifier(ServedModel):
    """One opened copy behind a queue.

    Args:
        identity: Which model it is.
        folder: The copy.
        text: Its text side.
        settings: Limits and sizes.
        threads: Processor threads of the engine.
        metrics: Where figures go.
    """

    task = "classification"
    keeper: Keeper

    def __init__(
        self,
        identity: Identity,
        folder: Path,
        text: TextSide,
        settings: ServingConfig,
        *,
        threads: int,
        metrics: Metrics,
    ) -> None:
        super().__init__(identity, settings)
        self.text = text
        self.label_names = text.facts.label_names
        self.keeper = Keeper(folder, threads, self, batch_timeout_s=settings.batch_timeout_s)
        self.admission = Admission(settings.queue_tokens, settings.queue_s)
        self._batcher = Batcher(
            token_budget=settings.token_budget,
            max_rows=settings.max_rows,
            max_wait_s=settings.max_wait_ms / 1000,
        )
        self._wake: asyncio.TimerHandle | None = None
        name = identity.id
        self._queue_seconds = metrics.queue_seconds.labels(name)
        self._batch_seconds = metrics.batch_seconds.labels(name)
        self._batch_fill = metrics.batch_fill.labels(name)
        self._batch_rows = metrics.batch_rows.labels(name)
        self._tokens = metrics.tokens.labels(name)

    @property
    def max_tokens(self) -> int:
        """Tokens that it reads at most; longer texts are cut, as in training."""
        return self.text.facts.max_length

    @property
    def waiting_tokens(self) -> int:
        """Tokens in the queue."""
        return self._batcher.tokens

    async def ask(
        self,
        texts: Sequence[str],
        *,
        caller: str,
        arrival: float,
        seconds: float,
        leaving: Callable[[], Awaitable[None]],
        features: bool = False,
    ) -> Answered:
        """Answer texts.

        Args:
            texts: As they come.
            caller: For whom; turns are shared between callers.
            arrival: When the request came (``time.monotonic``).
            seconds: Time for the answer, from the arrival on.
            leaving: Returns when the client has left; asked only when the answer takes long.
            features: Whether features are wanted beside the predictions.

        Raises:
            ServingError: When the queue is full, the time is over, the client has left, or the engine fails.
        """
        self.asking += 1
        try:
            return await self._answered(texts, caller, arrival, seconds, leaving, features=features)
        finally:
            self.asking -= 1

    async def split(self, text: str) -> SplitText:
        """Show how the model reads a text."""
        return await self._tokenised(len(text), lambda: self.text.split(text))

    def free(self) -> None:
        """Send what should be sent now, and say when to look again."""
        keeper, now = self.keeper, time.monotonic()
        if self._wake:
            self._wake.cancel()
            self._wake = None
        while keeper.takes_batches:
            rows = self._batcher.take(now, busy=keeper.busy, lanes=keeper.lanes)
            if not rows:
                break
            self._send(rows, now)
        if keeper.takes_batches:
            at = self._batcher.wake_at(now, busy=keeper.busy, lanes=keeper.lanes)
            if at is not None:
                self._wake = asyncio.get_running_loop().call_later(max(0.0, at - now), self.free)

    def scored(self, batch: Batch, scored: Scored) -> None:
        """Hand the answers of a batch out."""
        import numpy as np

        shape = (len(batch.rows), -1)
        found = predictions(np.frombuffer(scored.logits, np.float32).reshape(shape), self.label_names)
        features = np.frombuffer(scored.features, np.float32).reshape(shape) if scored.features else None
        for at, (row, prediction) in enumerate(zip(batch.rows, found, strict=True)):
            row.ticket.put(row.index, prediction, None if features is None else features[at])
        tokens = sum(row.tokens for row in batch.rows)
        self.admission.answered(tokens, time.monotonic())
        self.admission.worked(tokens, scored.seconds, lanes=max(1, self.keeper.lanes))
        self._batch_seconds.observe(scored.seconds)
        self._batch_rows.observe(len(batch.rows))
        self._batch_fill.observe(tokens / self.settings.token_budget)
        self._tokens.inc(tokens)

    def failed(self, row: Row, why: str) -> None:
        """Answer a request with an error, for one of its texts can't be answered."""
        row.ticket.fail(unanswerable(why))

    async def _answered(
        self,
        texts: Sequence[str],
        caller: str,
        arrival: float,
        seconds: float,
        leaving: Callable[[], Awaitable[None]],
        *,
        features: bool,
    ) -> Answered:
        ids = await self._tokenised(sum(map(len, texts)), lambda: self.text.encode(texts))
        now = time.monotonic()
        if arrival + seconds <= now:
            raise timed_out(seconds)
        ticket = Ticket(ids, caller, arrival, features=features)
        self.admission.admit(caller, ticket.tokens, now)
        for row in ticket.rows:
            self._batcher.add(row)
        asyncio.get_running_loop().call_soon(self.free)  # requests that came in the same moment share a batch
        try:
            with watched(ticket.fail, arrival + seconds - now, seconds, leaving):
                await ticket.answer
        finally:
            if ticket.left:
                self._withdraw(ticket)
        lengths = [row.tokens for row in ticket.rows]
        return Answered(ticket.predictions, ticket.features, ticket.tokens, lengths, ticket.queue_seconds)

    def _send(self, rows: Sequence[Row], now: float) -> None:
        """Send a batch to the worker."""
        for row in rows:
            waited = now - row.arrival
            self._queue_seconds.observe(waited)
            self.admission.leave(row.caller, row.tokens)
            row.ticket.sent(row, waited)
        self.keeper.send(Batch(rows, any(row.ticket.wants_features for row in rows)))

    def _withdraw(self, ticket: Ticket) -> None:
        """Take what nobody waits for any more out of the queue, and out of what would be tried again."""
        for row in ticket.rows:
            if row.index in ticket.waiting:
                self._batcher.drop(row)
                self.admission.leave(row.caller, row.tokens)
            row.gone = True


def as_classifier(model: ServedModel) -> ServedClassifier:
    """Return a model as a classifier.

    Raises:
        ServingError: When it is none.
    """
    if not isinstance(model, ServedClassifier):
        raise ServingError(
            f"{model.identity.name} is a language model and gives no labels",
            param="model",
            code="wrong_task",
            mend="ask /v1/chat/completions or /v1/completions",
        )
    return model
