"""The answers to one request of a language model, from when they are begun until nobody waits for them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.serving.rollout.timing import Timing

if TYPE_CHECKING:
    from tunewright.models.language.prompts import Prompt
    from tunewright.serving.faults import ServingError
    from tunewright.serving.generation.served import ServedLanguageModel
    from tunewright.serving.generation.writing import Writing


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """The answers to a request, on their way: ``n`` for each prompt, in the prompts' order."""

    model: ServedLanguageModel
    prompts: tuple[Prompt, ...]
    writings: tuple[Writing, ...]
    over: asyncio.Future[None]
    """Done when all are written, or nobody waits for them any more."""

    @property
    def tokens(self) -> int:
        """Of the prompts."""
        return sum(len(prompt.ids) for prompt in self.prompts)

    @property
    def written(self) -> int:
        """Tokens written so far."""
        return sum(len(writing.ids) for writing in self.writings)

    @property
    def queue_seconds(self) -> float:
        """The longest wait of an answer for its slot."""
        return max(0.0, *(each.sent_at - each.arrival for each in self.writings))

    @property
    def fault(self) -> ServingError | None:
        """Why one of them can't be written."""
        return next((each.fault for each in self.writings if each.fault), None)

    def timing(self, began: float) -> Timing:
        """Return how long they took, as far as they are written.

        Args:
            began: When they were asked for (``time.monotonic``).
        """
        first = min((each.first_at for each in self.writings if each.first_at), default=time.monotonic())
        further = sum(max(0, len(each.ids) - 1) for each in self.writings)
        seconds = sum(each.last_at - each.first_at for each in self.writings)
        return Timing(self.tokens, first - began, further, seconds / further if further else 0.0)

    def close(self) -> None:
        """Say that nobody waits for them any more."""
        self.model.withdraw(self)
