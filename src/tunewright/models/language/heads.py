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

POSITIONS = 64
"""Of which the training loops take a multiple: so few more cost nothing, and there are far fewer shapes."""


@contextmanager
def only_positions(model: Any, wanted: torch.Tensor, *, more: int = 0) -> Iterator[None]:  # noqa: ANN401
    """Inside, a forward pass gives logits of shape (1, n, vocabulary): those of the wanted positions, row by row.

    Args:
        model: A causal model, perhaps wrapped.
        wanted: bool (rows, length), with n - ``more`` true values.
        more: Positions that read zeros, behind the others.
    """
    import torch

    head = model.get_output_embeddings()

    def choose(_: Any, inputs: tuple[Any, ...]) -> tuple[torch.Tensor]:  # noqa: ANN401
        hidden: torch.Tensor = inputs[0]
        chosen = hidden[wanted.to(hidden.device)]
        return (torch.nn.functional.pad(chosen, (0, 0, 0, more)).unsqueeze(0),)

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
    multiple: int = 1,
    unwrapped: Any = None,  # noqa: ANN401
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a model and return the logits that predict a token with loss, and those tokens.

    Args:
        model: A causal model, as a training loop wraps it.
        inputs: ``input_ids`` and the like, without labels.
        labels: Token ids, int64 (rows, length), ``ignored`` where there is no loss.
        ignored: See labels.
        multiple: Compute a multiple of so many positions; those that are too many read zeros and are ``ignored``.
            A matrix library prepares a product for each number of rows that it meets.
        unwrapped: The model itself, where a loop wraps it.

    Returns:
        Logits (n, vocabulary) and token ids (n,), row by row, n rounded up to the multiple.
    """
    import torch

    targets = labels[:, 1:]
    wanted = torch.zeros_like(labels, dtype=torch.bool)
    wanted[:, :-1] = targets != ignored
    asked = targets[targets != ignored]
    more = -len(asked) % multiple
    with only_positions(unwrapped if unwrapped is not None else model, wanted, more=more):
        logits = model(**inputs, use_cache=False).logits
    return logits[0], torch.nn.functional.pad(asked, (0, more), value=ignored)
