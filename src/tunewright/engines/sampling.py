"""The next token from logits: greedy or drawn; a draw depends on seed and position, never on the rest of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunewright.engines.interface import Sampling, TokenScore
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.engines.grammar import Constraint
    from tunewright.engines.interface import Request
    from tunewright.engines.language_side import LanguageFacts


def room(request: Request, facts: LanguageFacts) -> int:
    """Return the tokens that a request may still get.

    Raises:
        InputError: When its prompt is empty, leaves no room, or holds an id that stands for nothing.
    """
    ids = request.prompt_ids
    if not ids:
        raise InputError("the prompt has no tokens", place=f"request {request.id}")
    if min(ids) < 0 or max(ids) >= facts.vocabulary:
        raise InputError(
            f"a token id is outside 0 to {facts.vocabulary - 1:,}", place=f"request {request.id}"
        )
    left = min(request.sampling.max_new_tokens, facts.max_length - len(ids))
    if left < 1:
        raise InputError(
            f"its prompt of {len(ids):,} tokens leaves no room for an answer within {facts.max_length:,}",
            place=f"request {request.id}",
            mend="shorten the prompt, or ask for at least one token",
        )
    return left


def require_plain(request: Request, *, engine: str, heeds_adapters: bool = False, **unheeded: bool) -> None:
    """Refuse settings that an engine can't heed.

    Args:
        request: What is asked.
        engine: Names the engine in the error.
        heeds_adapters: Whether a request may name an adapter.
        unheeded: For each setting in words (underscores for spaces), whether it is asked for.

    Raises:
        InputError: With the first of them.
    """
    asked = next((name for name, is_asked in unheeded.items() if is_asked), None)
    if asked:
        what = asked.replace("_", " ")
        raise InputError(
            f"the engine {engine} can't heed {what}", place=f"request {request.id}", mend="use another engine"
        )
    if request.adapter and not heeds_adapters:
        raise InputError(
            f"the engine {engine} can't heed an adapter chosen by the request",
            place=f"request {request.id}",
            mend="use transformers or remote",
        )


def log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return log-probabilities over the last axis."""
    import numpy as np

    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    found: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found


class Chooser:
    """Chooses one request's tokens, one after the other.

    Args:
        sampling: How.
        constraint: Leaves out what may not come next.
    """

    def __init__(self, sampling: Sampling, constraint: Constraint | None = None) -> None:
        self.sampling = sampling
        self._constraint = constraint
        self._random: Any = None
        if sampling.temperature > 0:
            import numpy as np

            # A counter-based generator of its own: the n-th token takes the n-th number, whoever else is answered.
            self._random = np.random.Generator(np.random.Philox(sampling.seed))
            self._random.random(sampling.written)

    def choose(self, logits: npt.NDArray[np.float32]) -> tuple[int, TokenScore | None]:
        """Choose a token from the logits of the vocabulary; return it with its score, where scores are asked for."""
        allowed = self._allowed(logits)
        token = self._draw(allowed) if self._random else int(allowed.argmax())
        if self._constraint:
            self._constraint.take(token)
        return token, self._scored(logits, token) if self.sampling.logprobs >= 0 else None

    def _allowed(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Leave out what may not come next."""
        import numpy as np

        if self._constraint is None:
            return logits
        return np.where(self._constraint.allowed(), logits, np.float32(-np.inf))

    def _draw(self, logits: npt.NDArray[np.float32]) -> int:
        """Draw among the most probable tokens that ``top_k`` and ``top_p`` leave."""
        import numpy as np

        settings = self.sampling
        values = log_softmax(logits / settings.temperature)
        order = np.argsort(-values, kind="stable")
        kept = order[: settings.top_k] if settings.top_k else order
        shares = np.exp(values[kept])
        shares /= shares.sum()
        sums = shares.cumsum()
        if settings.top_p < 1:
            count = int(np.searchsorted(sums, settings.top_p)) + 1
            kept, sums = kept[:count], sums[:count]
        at = int(np.searchsorted(sums, self._random.random() * sums[-1], side="right"))
        return int(kept[min(at, len(kept) - 1)])

    def _scored(self, logits: npt.NDArray[np.float32], token: int) -> TokenScore:
        """Tell how likely a token was before temperature and cuts, and the likeliest others."""
        import numpy as np

        values = log_softmax(logits)
        count = self.sampling.logprobs
        top = np.argsort(-values, kind="stable")[:count] if count else ()
        return TokenScore(float(values[token]), tuple((int(each), float(values[each])) for each in top))
