"""Train only the token vectors that the data set uses.

In a small encoder half of the weights are token vectors (11.7 of 22.7 million in MiniLM), and most tokens never occur
in a given data set: their gradient is zero in every step. The optimiser's pass over them, the norm of their gradient
and the zeros it is made of are work for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

WORTH_IT = 0.9
"""Share of the vocabulary in use above which nothing is gained."""


@contextmanager
def used_tokens_only(model: Any, rows: Iterable[Sequence[int]], *, pad_id: int) -> Iterator[None]:  # noqa: ANN401
    """Let a model hold the vectors of the tokens in ``rows`` only inside the block; afterwards all of them again.

    Token ids stay what they are. Vectors of other tokens come out as they went in; the optimiser would have shrunk
    them by its weight decay. A model whose token vectors are frozen, or shared with an output layer, stays as it is.

    Args:
        model: A Transformers model.
        rows: Token ids of all rows that the model will meet inside the block.
        pad_id: The id that fills up batches.
    """
    import torch

    whole = model.get_input_embeddings()
    used = _used(rows, pad_id)
    if (
        type(whole) is not torch.nn.Embedding
        or not whole.weight.requires_grad
        or model.get_output_embeddings() is not None
        or len(used) > WORTH_IT * whole.num_embeddings
    ):
        yield
        return
    few = _few(whole, torch.from_numpy(used))
    model.set_input_embeddings(few)
    try:
        yield
    finally:
        with torch.no_grad():
            whole.weight[torch.from_numpy(used)] = few.weight.to(whole.weight.device)
        model.set_input_embeddings(whole)


def _used(rows: Iterable[Sequence[int]], pad_id: int) -> np.ndarray:
    """Return the ids that occur, rising, int64."""
    import numpy as np

    ids: np.ndarray = np.array(sorted({pad_id}.union(*rows)), dtype=np.int64)
    return ids


def _few(whole: torch.nn.Embedding, used: torch.Tensor) -> torch.nn.Embedding:
    """Return the vectors of some ids as a layer that takes the same ids."""
    import torch

    class UsedTokens(torch.nn.Embedding):
        """Token vectors, found by an id's place among the used ones."""

        places: torch.Tensor

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            """Return the vectors, (…, width), of ids of any shape."""
            return super().forward(self.places[ids])

    places = torch.full((whole.num_embeddings,), len(used))
    places[used] = torch.arange(len(used))
    padding = None if whole.padding_idx is None else int(places[whole.padding_idx])
    if padding == len(used):
        padding = None
    vectors = whole.weight.detach()[used].clone()
    few = UsedTokens(len(used), whole.embedding_dim, padding_idx=padding, _weight=vectors)
    few.register_buffer("places", places, persistent=False)
    return few.train(whole.training)
