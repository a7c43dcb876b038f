"""The last layer of a BERT classifier, computed for the one token that is read.

The pooler reads the first token's vector alone, so queries, output and feed-forward part of the last layer are only
needed there: a sixth of that layer's work, with the same result. It pays most where the last layer pools the others
(``models/pooling.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SAME_LOGITS = 1e-4
"""Both ways agree when logits differ by less than this."""


@contextmanager
def first_token_only(
    model: Any,  # noqa: ANN401
    sample: dict[str, torch.Tensor],
    attend: Callable[..., Any],
) -> Iterator[None]:
    """Compute the last layer for the first token only inside the block, where the model allows it.

    Args:
        model: Any model; others than plain BERT classifiers stay as they are.
        sample: ``input_ids`` and ``attention_mask`` of a few rows, to prove that the logits are the same.
        attend: Attention with the signature of Transformers' attention functions.
    """
    layer = _last_layer(model)
    if layer is None:
        yield
        return
    expected = _logits(model, sample)
    vars(layer)["forward"] = partial(_forward, layer, attend)
    try:
        if (_logits(model, sample) - expected).abs().max() >= SAME_LOGITS:
            del vars(layer)["forward"]
        yield
    finally:
        vars(layer).pop("forward", None)


def _last_layer(model: Any) -> Any:  # noqa: ANN401
    """Return the last layer of a plain BERT classifier, under adapters too; ``None`` for any other model."""
    from transformers import BertForSequenceClassification

    plain = model.get_base_model() if hasattr(model, "peft_config") else model
    if type(plain) is not BertForSequenceClassification or plain.config.is_decoder:
        return None
    return plain.bert.encoder.layer[-1]


def _logits(model: Any, sample: dict[str, torch.Tensor]) -> torch.Tensor:  # noqa: ANN401
    import torch

    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            logits: torch.Tensor = model(**sample).logits
    finally:
        model.train(was_training)
    return logits


def _forward(
    layer: Any,  # noqa: ANN401
    attend: Callable[..., Any],
    hidden_states: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    *_: Any,  # noqa: ANN401
    **__: Any,  # noqa: ANN401
) -> torch.Tensor:
    """Do what the layer's own forward does, for the first token.

    Args:
        layer: The layer.
        attend: The attention.
        hidden_states: (rows, length, width).
        attention_mask: Added to the scores, (rows, 1, 1 or length, length).

    Returns:
        (rows, 1, width).
    """
    inner = layer.attention.self
    first = hidden_states[:, :1]

    def heads(values: torch.Tensor) -> torch.Tensor:
        return values.view(*values.shape[:2], inner.num_attention_heads, -1).transpose(1, 2)

    mixed = attend(
        inner,
        heads(inner.query(first)),
        heads(inner.key(hidden_states)),
        heads(inner.value(hidden_states)),
        None if attention_mask is None else attention_mask[:, :, :1],
        dropout=inner.dropout.p,
    )[0]
    attended = layer.attention.output(mixed.flatten(-2), first)
    output: torch.Tensor = layer.feed_forward_chunk(attended)
    return output
