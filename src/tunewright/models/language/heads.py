"""Let the output layer see only the positions that are asked about.

With a vocabulary of 32,000 tokens the output layer of a small model costs more than all others together, and in
fine-tuning most positions carry no loss. What architectures do behind it (scaling, soft-capping) works on each
number by itself, so leaving positions out changes no other one.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


@contextmanager
def only_positions(model: Any, wanted: torch.Tensor) -> Iterator[None]:  # noqa: ANN401
    """Inside, a forward pass gives logits of shape (1, n, vocabulary): those of the wanted positions, row by row.

    Args:
        model: A causal model, perhaps wrapped.
        wanted: bool (rows, length), with n true values.
    """
    head = model.get_output_embeddings()

    def choose(_: Any, inputs: tuple[Any, ...]) -> tuple[torch.Tensor]:  # noqa: ANN401
        hidden: torch.Tensor = inputs[0]
        return (hidden[wanted.to(hidden.device)].unsqueeze(0),)

    handle = head.register_forward_pre_hook(choose)
    try:
        yield
    finally:
        handle.remove()


def supervised_logits(
    model: Any,  # noqa: ANN401
    inputs: dict[str, torch.Tensor],
    labels: torch.Tensor,
    *,
    ignored: int = -100,
    unwrapped: Any = None,  # noqa: ANN401
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a model and return the logits that predict a token with loss, and those tokens.

    Args:
        model: A causal model, as a training loop wraps it.
        inputs: ``input_ids`` and the like, without labels.
        labels: Token ids, int64 (rows, length), ``ignored`` where there is no loss.
        ignored: See labels.
        unwrapped: The model itself, where a loop wraps it.

    Returns:
        Logits (n, vocabulary) and token ids (n,), row by row.
    """
    import torch

    targets = labels[:, 1:]
    wanted = torch.zeros_like(labels, dtype=torch.bool)
    wanted[:, :-1] = targets != ignored
    with only_positions(unwrapped if unwrapped is not None else model, wanted):
        logits = model(**inputs, use_cache=False).logits
    return logits[0], targets[targets != ignored]
