"""What a request wants written, with all that belongs to it, so that it can be asked of one version after the other."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING

from tunewright.serving.faults import ServingError
from tunewright.serving.generation.served import ServedLanguageModel
from tunewright.serving.rollout.question import SHADOW, never
from tunewright.serving.rollout.shadow import Writings

if TYPE_CHECKING:
    from tunewright.serving.generation.begun import Begun
    from tunewright.serving.generation.wanted import Wanted
    from tunewright.serving.rollout.timing import Timing
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

    def measure(self, found: Begun, began: float, tell: Callable[[Timing | None], None]) -> None:
        """Tell how long the answers took when they are written, or their reader has left."""
        found.over.add_done_callback(lambda _: tell(None if found.fault else found.timing(began)))

    def drop(self, found: Begun) -> None:
        """Stop what isn't written yet."""
        found.close()

    async def compare(self, found: Begun, model: ServedModel) -> tuple[Writings, Timing]:
        """Let another model write as many tokens from the same prompts; compare those that aren't drawn.

        Engines draw in ways of their own, even from the same seed: what they draw is only timed.

        Raises:
            ServingError: When it doesn't answer.
        """
        began = time.monotonic()
        given = [tuple(writing.ids) for writing in found.writings]
        sampling = replace(self.wanted.sampling, max_new_tokens=max(1, *map(len, given)), logprobs=-1)
        # As a stream: the time of a request is for its first token, and how long the rest takes is the engine's affair.
        wanted = replace(self.wanted, sampling=sampling, streams=True)
        own = replace(self, wanted=wanted, caller=SHADOW, arrival=began, leaving=never)
        _, other = await own.to(model)
        try:
            for writing in other.writings:
                await writing.ended.wait()
            if other.fault:
                raise other.fault
            if sampling.temperature:
                return Writings.compare([], []), other.timing(began)
            return Writings.compare(given, [each.ids for each in other.writings]), other.timing(began)
        finally:
            other.close()


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
