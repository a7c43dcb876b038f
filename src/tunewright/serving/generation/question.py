"""What a request wants written, with all that belongs to it, so that it can be asked of one version after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from tunewright.serving.faults import ServingError
from tunewright.serving.generation.served import ServedLanguageModel

if TYPE_CHECKING:
    from tunewright.serving.generation.served import Begun
    from tunewright.serving.generation.wanted import Wanted
    from tunewright.serving.served import ServedModel


@dataclass(frozen=True, slots=True)
class WritingQuestion:
    """What is wanted, with all that belongs to it (see ``ServedLanguageModel.begin``)."""

    wanted: Wanted
    _: KW_ONLY
    caller: str
    arrival: float
    seconds: float
    leaving: Callable[[], Awaitable[None]]

    async def to(self, model: ServedModel) -> tuple[ServedModel, Begun]:
        """Ask a model.

        Raises:
            ServingError: When it doesn't answer.
        """
        begun = await as_language_model(model).begin(
            self.wanted,
            caller=self.caller,
            arrival=self.arrival,
            seconds=self.seconds,
            leaving=self.leaving,
        )
        return model, begun


def as_language_model(model: ServedModel) -> ServedLanguageModel:
    """Return a model as a language model.

    Raises:
        ServingError: When it is none.
    """
    if not isinstance(model, ServedLanguageModel):
        raise ServingError(
            f"{model.identity.name} is a classifier and writes nothing",
            param="model",
            code="wrong_task",
            mend="ask /v1/classify",
        )
    return model
