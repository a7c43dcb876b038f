"""A request that waits for the answers to its texts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunewright.serving.batcher import Row

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.models.classifier import Prediction
    from tunewright.serving.faults import ServingError


class Ticket:
    """Collects the answers to a request's rows.

    Args:
        ids: Token ids of its texts.
        caller: For whom.
        arrival: When it came.
        features: Whether features are wanted.
    """

    __slots__ = (
        "answer", "features", "left", "predictions", "queue_seconds", "rows", "tokens", "waiting",
        "wants_features",
    )  # fmt: skip

    def __init__(self, ids: Sequence[Sequence[int]], caller: str, arrival: float, *, features: bool) -> None:
        self.rows = [Row(each, caller, arrival, self, at) for at, each in enumerate(ids)]
        self.tokens = sum(map(len, ids))
        self.wants_features = features
        self.predictions: list[Prediction] = [None] * len(ids)  # type: ignore[list-item]
        self.features: list[npt.NDArray[np.float32]] = []
        if features:
            self.features = [None] * len(ids)  # type: ignore[list-item]
        self.left = len(ids)
        """Rows without an answer."""
        self.waiting = set(range(len(ids)))
        """Rows that are in the queue."""
        self.queue_seconds = 0.0
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def sent(self, row: Row, waited: float) -> None:
        """Note that a row has left the queue."""
        self.waiting.discard(row.index)
        self.queue_seconds = max(self.queue_seconds, waited)

    def put(self, index: int, prediction: Prediction, features: npt.NDArray[np.float32] | None) -> None:
        """Take the answer to one row; the last one wakes the request."""
        self.predictions[index] = prediction
        if features is not None and self.wants_features:
            self.features[index] = features
        self.left -= 1
        if not self.left and not self.answer.done():
            self.answer.set_result(None)

    def fail(self, fault: ServingError) -> None:
        """End the request with an error."""
        with contextlib.suppress(asyncio.InvalidStateError):
            self.answer.set_exception(fault)
