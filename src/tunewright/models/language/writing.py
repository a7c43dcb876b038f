"""What a language model writes, and what can be asked to write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.data.chat.rows import ChatRow


@dataclass(frozen=True, slots=True)
class Written:
    """One answer."""

    text: str
    """The answer without its stop token."""
    tokens: int
    """Tokens written, the stop token included."""
    finished: bool
    """Whether a stop token was reached in time."""


class Writer(Protocol):
    """Anything that answers rows and scores their answers."""

    def write(self, rows: Sequence[ChatRow], *, max_new_tokens: int, batch_size: int) -> list[Written]:
        """Answer each row's prompt, greedily."""
        ...

    def losses(self, rows: Sequence[ChatRow], *, batch_size: int) -> list[tuple[float, int]]:
        """Return for each row the summed negative log-likelihood (nats) of its tokens with loss, and their number.

        Of a preference the chosen answer counts.
        """
        ...
