"""What a request asks a model, so that it can be asked of another one, too.

Language models have a kind of their own (``generation/question.py``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from tunewright.serving.classifying import as_classifier

if TYPE_CHECKING:
    from tunewright.serving.classifying import Answered
    from tunewright.serving.served import ServedModel

Reply: TypeAlias = "tuple[ServedModel, Answered]"
"""A classifier's answer, and who gave it."""


class Found(Protocol):
    """An answer, whatever the task."""

    @property
    def tokens(self) -> int:
        """That were read for it."""
        ...


AnyFound = TypeVar("AnyFound", bound=Found)
Found_co = TypeVar("Found_co", bound=Found, covariant=True)


class Askable(Protocol[Found_co]):
    """A question, whatever the task."""

    @property
    def arrival(self) -> float:
        """When it came."""
        ...

    @property
    def seconds(self) -> float:
        """Time for the answer."""
        ...

    async def to(self, model: ServedModel) -> tuple[ServedModel, Found_co]:
        """Ask a model."""
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
