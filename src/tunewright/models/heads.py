"""The classification head of any architecture: which modules it is made of, and its last layer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tunewright.support.errors import TunewrightError

POOLER = "pooler"
"""Between encoder and head in BERT's family: its weights serve no task but the head's."""


def head_names(model: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the dotted names of the modules that make up the head, in forward order.

    These are the children that stand beside the encoder (named by ``base_model_prefix``) and hold weights,
    and the encoder's pooler.
    """
    prefix = model.base_model_prefix
    names = []
    encoder = getattr(model, prefix, None)
    pooler = getattr(encoder, POOLER, None)
    if pooler is not None and any(True for _ in pooler.parameters()):
        names.append(f"{prefix}.{POOLER}")
    names += [
        name
        for name, child in model.named_children()
        if name != prefix and any(True for _ in child.parameters())
    ]
    return tuple(names)


def is_head_weight(name: str, heads: Sequence[str]) -> bool:
    """Tell whether a weight belongs to the head."""
    return any(name == head or name.startswith(f"{head}.") for head in heads)


def output_layer(model: Any, labels: int) -> tuple[str, Any]:  # noqa: ANN401
    """Return name and module of the last linear layer, the one with an output for each label.

    Raises:
        TunewrightError: When the architecture has none.
    """
    from torch import nn

    heads = head_names(model)
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == labels and is_head_weight(name, heads)
    ]
    if not found:
        raise TunewrightError(
            f"{type(model).__name__} has no linear layer with {labels} outputs", mend="take another base"
        )
    return found[-1]


@contextmanager
def without_layer(model: Any, name: str) -> Iterator[None]:  # noqa: ANN401
    """Take a layer out inside, so that the model answers with that layer's inputs, one vector a text."""
    from torch import nn

    parent = model.get_submodule(name.rpartition(".")[0])
    leaf = name.rpartition(".")[2]
    layer = getattr(parent, leaf)
    setattr(parent, leaf, nn.Identity())
    try:
        yield
    finally:
        setattr(parent, leaf, layer)


def encoder_weights(model: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield name and tensor of every weight outside the head, by name; adapters don't count."""
    plain = model.get_base_model() if hasattr(model, "peft_config") else model
    heads = head_names(plain)
    named = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in plain.state_dict().items()
        if not is_head_weight(name, heads) and ".lora_" not in name
    }
    yield from sorted(named.items())


def digest_weights(named: Iterator[tuple[str, Any]]) -> str:
    """Return one SHA-256 over names, types, shapes and bytes of tensors, which come in the order of names."""
    state = hashlib.sha256()
    for name, tensor in named:
        array = tensor.detach().cpu().contiguous().numpy()
        state.update(f"{name} {array.dtype} {array.shape} ".encode())
        state.update(array.data if array.size else b"")
    return state.hexdigest()
