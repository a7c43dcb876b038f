"""Continuous batching over one base with several adapters, each with its own stop tokens and limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.engines.grammar import Grammars
from tunewright.engines.language_side import FOLDER, TOKENIZER
from tunewright.engines.sampling import require_plain
from tunewright.engines.stepping import Side, SteppingGenerator
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.engines.interface import Request
    from tunewright.engines.runtimes.transformers.adapted import AdaptedModel
    from tunewright.engines.stepping import Decoder

NAME = "transformers"


class AdaptingGenerator(SteppingGenerator):
    """A ``Generator`` that is ``Adapting``, too: rows of one step may have different adapters.

    Args:
        decoder: Runs the model.
        model: The weights that it runs; adapters go there.
        folder: The base's copy.
        slots: Requests at once.
    """

    def __init__(self, decoder: Decoder, model: AdaptedModel, folder: Path, slots: int) -> None:
        side = _side(folder)
        super().__init__(decoder, side.facts, slots, engine=NAME, grammars=side.grammars)
        self._model = model
        self._sides = {"": side}

    def bring(self, name: str, folder: Path) -> None:
        """Take an adapter in (see ``Adapting``)."""
        side = _side(folder)
        self._model.bring(name, folder)
        self._sides[name] = side

    def forget(self, name: str) -> None:
        """Give an adapter's memory back (see ``Adapting``)."""
        if self._sides.pop(name, None):
            self._model.forget(name)

    def close(self) -> None:
        """Give memory and threads back."""
        super().close()
        del self._model

    def _side_of(self, request: Request) -> Side:
        """Return what surrounds the adapter that a request names.

        Raises:
            InputError: When it isn't there.
        """
        require_plain(request, engine=NAME, heeds_adapters=True)
        if request.adapter not in self._sides:
            raise InputError(f"there is no adapter '{request.adapter}'", place=f"request {request.id}")
        return self._sides[request.adapter]


def _side(folder: Path) -> Side:
    """Read what surrounds the weights of a copy."""
    from tunewright.engines.copies import language_facts

    facts = language_facts(folder)
    return Side(facts, Grammars(folder / FOLDER / TOKENIZER, facts))
