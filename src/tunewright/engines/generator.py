"""A language model on any engine: conversations in, answers out, as the certificate and the server ask it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from tunewright.engines.interface import Request, Sampling, Scoring, TokenScore
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from tunewright.data.chat.rows import ChatRow
    from tunewright.engines.interface import Chunk, Finish, Generator
    from tunewright.engines.language_side import LanguageSide
    from tunewright.models.language.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Answer:
    """What was written for one prompt."""

    ids: tuple[int, ...] = ()
    """A stop token at the end included."""
    scores: tuple[TokenScore, ...] = ()
    finish: Finish = "length"


class EngineLanguageModel:
    """Language side and generator as one thing that is asked.

    It offers what a certificate replays (``registry.language_certificate.Certifiable``).

    Args:
        side: Renders and tokenises.
        generator: The opened copy.

    Example:
        ``open_language_model(folder, threads=2, slots=8).write_ids([prompt.ids], max_new_tokens=64, batch_size=1)``
    """

    def __init__(self, side: LanguageSide, generator: Generator) -> None:
        self.side = side
        self.generator = generator
        self._numbers = count()

    @property
    def scores(self) -> bool:
        """Whether it can say how likely given tokens are."""
        return isinstance(self.generator, Scoring)

    def prompt(self, row: ChatRow) -> Prompt:
        """Return what the model reads before it answers a row.

        Raises:
            RefusedRowError: When the template refuses it.
        """
        return self.side.prompt(row)

    def answer(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        at_once: int | None = None,
        tell: Callable[[Chunk], None] = lambda _: None,
    ) -> list[Answer]:
        """Answer prompts together; one that leaves no room within the model's length gets nothing.

        Args:
            prompts: Token ids.
            sampling: How tokens are chosen, for all alike.
            at_once: Requests that the engine has at a time; all by default.
            tell: Called with each piece as it comes.

        Raises:
            InputError: When the engine can't heed a setting.
        """
        names = [str(next(self._numbers)) for _ in prompts]
        pieces: dict[str, list[Chunk]] = {name: [] for name in names}
        limit = self.side.facts.max_length
        waiting = [
            Request(name, tuple(ids), sampling)
            for name, ids in zip(names, prompts, strict=True)
            if len(ids) < limit and sampling.max_new_tokens > 0
        ]
        going: set[str] = set()
        while waiting or going:
            while waiting and len(going) < (at_once or len(names)):
                request = waiting.pop(0)
                self.generator.add(request)
                going.add(request.id)
            for chunk in self.generator.step():
                tell(chunk)
                pieces[chunk.request_id].append(chunk)
                if chunk.finish:
                    going.discard(chunk.request_id)
        return [_joined(pieces[name]) for name in names]

    def write_ids(
        self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_size: int
    ) -> list[list[int]]:
        """Return greedy tokens behind each prompt, a stop token included."""
        sampling = Sampling(max_new_tokens=max_new_tokens, logprobs=-1)
        return [list(each.ids) for each in self.answer(prompts, sampling, at_once=batch_size)]

    def log_likelihoods(
        self, sequences: Sequence[Sequence[int]], masks: Sequence[Sequence[bool]], batch_size: int
    ) -> list[list[float]]:
        """Return the log-probability (nats) of each masked token given those before it.

        Raises:
            TunewrightError: When the engine can't score given tokens.
        """
        if not isinstance(self.generator, Scoring):
            raise TunewrightError(
                "can't say how likely given tokens are",
                place=type(self.generator).__name__,
                mend="hold it against a certificate by what it writes (engines.language_judging)",
            )
        found: list[list[float]] = []
        for at in range(0, len(sequences), batch_size):
            part = slice(at, at + batch_size)
            scored = self.generator.score([list(ids) for ids in sequences[part]])
            found += [
                [value for value, asked in zip(values, mask[1:], strict=True) if asked]
                for values, mask in zip(scored, masks[part], strict=True)
            ]
        return found

    def close(self) -> None:
        """Give the engine's memory and threads back."""
        self.generator.close()


def _joined(chunks: Sequence[Chunk]) -> Answer:
    """Put the pieces of one answer together."""
    return Answer(
        ids=tuple(token for chunk in chunks for token in chunk.token_ids),
        scores=tuple(score for chunk in chunks for score in chunk.scores),
        finish=next((chunk.finish for chunk in chunks if chunk.finish), "length"),
    )
