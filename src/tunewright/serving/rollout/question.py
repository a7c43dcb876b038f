"""What a request asks a model, so that it can be asked of another one, too.

Language models have a kind of their own (``generation/question.py``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from tunewright.serving.classifying import as_classifier
from tunewright.serving.rollout.shadow import Compared, Labels
from tunewright.serving.rollout.timing import Timing

if TYPE_CHECKING:
    from tunewright.serving.classifying import Answered
    from tunewright.serving.served import ServedModel

Reply: TypeAlias = "tuple[ServedModel, Answered]"
"""A classifier's answer, and who gave it."""
SHADOW = "shadow"
"""The caller of what a shadow is asked."""
AnyFound = TypeVar("AnyFound")


class Askable(Protocol[AnyFound]):
    """A question, whatever the task."""

    @property
    def arrival(self) -> float:
        """When it came."""
        ...

    @property
    def seconds(self) -> float:
        """Time for the answer."""
        ...

    async def to(self, model: ServedModel) -> tuple[ServedModel, AnyFound]:
        """Ask a model."""
        ...

    def measure(self, found: AnyFound, began: float, tell: Callable[[Timing | None], None]) -> None:
        """Tell how long an answer took when all of it is there; None when it breaks off.

        Args:
            found: The answer.
            began: When the model was asked (``time.monotonic``).
            tell: Called once.
        """
        ...

    def drop(self, found: AnyFound) -> None:
        """Forget an answer that nobody reads."""
        ...

    async def compare(self, found: AnyFound, model: ServedModel) -> tuple[Compared, Timing]:
        """Ask another model the same, and compare its answer with one that was given.

        Raises:
            ServingError: When it doesn't answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """Texts with all that belongs to them (see ``ServedModel.ask``)."""

    texts: Sequence[str]
    _: KW_ONLY
    caller: str
    arrival: float
    seconds: float
    leaving: Callable[[], Awaitable[None]]
    features: bool

    async def to(self, model: ServedModel) -> Reply:
        """Ask a model.

        Raises:
            ServingError: When it doesn't answer.
        """
        answered = await as_classifier(model).ask(
            self.texts,
            caller=self.caller,
            arrival=self.arrival,
            seconds=self.seconds,
            leaving=self.leaving,
            features=self.features,
        )
        return model, answered

    def measure(self, found: Answered, began: float, tell: Callable[[Timing | None], None]) -> None:
        """Tell at once how long the answer took: all of it is there."""
        tell(Timing(found.tokens, time.monotonic() - began))

    def drop(self, found: Answered) -> None:
        """Forget an answer: it holds nothing up."""

    async def compare(self, found: Answered, model: ServedModel) -> tuple[Labels, Timing]:
        """Ask another model the same texts; compare labels and logits.

        Raises:
            ServingError: When it doesn't answer.
        """
        began = time.monotonic()
        own = replace(self, caller=SHADOW, arrival=began, leaving=never, features=False)
        _, other = await own.to(model)
        timing = Timing(other.tokens, time.monotonic() - began)
        return Labels.compare(found.predictions, other.predictions), timing


async def never() -> None:
    """Wait for a client that can't leave, for there is none."""
    await asyncio.Event().wait()
