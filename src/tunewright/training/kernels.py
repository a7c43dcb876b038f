"""The same mathematics, computed more cheaply on a CPU: attention, dropout, memory.

In a step of a small encoder on short texts, what costs most beside the matrix products are the random numbers of
dropout, one draw of a Bernoulli variable an element, and the page faults of memory that comes and goes.
``docs/performance.md`` has the figures.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from tunewright.support.console import say
from tunewright.training.allocator import kept_memory
from tunewright.training.last_layer import first_token_only

if TYPE_CHECKING:
    import torch

    from tunewright.training.hardware import Hardware

ATTENTION = "tunewright"
"""Name of our attention code in Transformers' registry."""
RANDOM_STATES = 1 << 16
"""Values of the 16 random bits that decide about an element: dropout rates are met to 1/65536."""
BF16_ONE = 0x3F80
"""The bits of 1.0 in bfloat16."""
SAME_LOGITS = 1e-4
"""Two attention codes agree when logits differ by less than this."""
SAMPLE_ROWS = 4


@contextmanager
def cheaper_kernels(model: Any, hardware: Hardware, sample: dict[str, torch.Tensor]) -> Iterator[None]:  # noqa: ANN401
    """Compute a Transformers model's attention and dropout the cheap way inside the block.

    Args:
        model: The model; it is as before afterwards.
        hardware: The choices; away from the CPU only its attention is set.
        sample: ``input_ids`` and ``attention_mask`` of a few rows, to prove that the attention gives the same.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_attention(model, hardware.attention))
        if hardware.device == "cpu":
            stack.enter_context(kept_memory())
            stack.enter_context(_cheap_dropout(model))
            if hardware.attention == "eager" and _registered_attention_agrees(model, sample):
                stack.enter_context(_attention(model, ATTENTION))
            stack.enter_context(first_token_only(model, sample, _attend))
        yield


@contextmanager
def cheaper_steps(model: Any, hardware: Hardware) -> Iterator[None]:  # noqa: ANN401
    """Compute any Transformers model with the attention chosen and, on a CPU, cheap dropout and kept memory."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_attention(model, hardware.attention))
        if hardware.device == "cpu":
            stack.enter_context(kept_memory())
            stack.enter_context(_cheap_dropout(model))
        yield


def drop(values: torch.Tensor, rate: float) -> torch.Tensor:
    """Set a share of the elements to zero and scale the others up, as dropout does (any shape and dtype).

    Sixteen random bits decide about an element instead of a random float. The rate is rounded to 1/65536, and the
    scale is that of the rounded rate, so that the mean stays exact.
    """
    cut = round(rate * RANDOM_STATES)
    if cut == 0:
        return values
    if cut == RANDOM_STATES:
        return values * 0.0
    dropped: torch.Tensor = _dropping().apply(values, cut)
    return dropped


@cache
def _dropping() -> Any:  # noqa: ANN401
    """Return the differentiable function behind ``drop``."""
    import torch

    class Dropping(torch.autograd.Function):
        """Multiplies by a mask of zeros and ones that the backward pass uses again."""

        @staticmethod
        def forward(context: Any, values: torch.Tensor, cut: int) -> torch.Tensor:  # noqa: ANN401
            """Draw the mask and apply it."""
            context.scale = RANDOM_STATES / (RANDOM_STATES - cut)
            mask = _mask(values.shape, cut)
            context.save_for_backward(mask)
            return (values * mask).mul_(context.scale)

        @staticmethod
        def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401
            """Apply the same mask."""
            (mask,) = context.saved_tensors
            return (gradient * mask).mul_(context.scale), None

    return Dropping


def _mask(shape: Sequence[int], cut: int) -> torch.Tensor:
    """Return a bfloat16 tensor of ones, with zeros at a share of ``cut`` / 65536 of the places."""
    import torch

    elements = math.prod(shape)
    draws = torch.empty(math.ceil(elements / 4), dtype=torch.int64).random_(-(1 << 63), None)
    bits = draws.view(torch.int16)[:elements].view(shape)
    lowest_kept = cut - RANDOM_STATES // 2
    # 1 where the draw is at least the lowest kept one, else 0; then as the bits of a float.
    ones = bits.clamp_(lowest_kept - 1, lowest_kept).sub_(lowest_kept - 1)
    return ones.mul_(BF16_ONE).view(torch.bfloat16)


@contextmanager
def _cheap_dropout(model: Any) -> Iterator[None]:  # noqa: ANN401
    """Let the plain dropout layers of a model use ``drop``."""
    import torch

    layers = [
        layer for layer in model.modules() if type(layer) is torch.nn.Dropout and "forward" not in vars(layer)
    ]
    for layer in layers:
        vars(layer)["forward"] = partial(_layer_forward, layer)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["forward"]


def _layer_forward(layer: torch.nn.Dropout, values: torch.Tensor) -> torch.Tensor:
    return drop(values, layer.p) if layer.training else values


@contextmanager
def _attention(model: Any, implementation: str) -> Iterator[None]:  # noqa: ANN401
    """Let a Transformers model use an attention code, where its architecture offers the choice."""
    before = str(getattr(model.config, "_attn_implementation", "") or "")
    try:
        if before:
            model.set_attn_implementation(implementation)
    except (ValueError, AttributeError):
        # The architecture has only the one that it was loaded with.
        before = ""
    try:
        yield
    finally:
        if before:
            model.set_attn_implementation(before)


def _registered_attention_agrees(model: Any, sample: dict[str, torch.Tensor]) -> bool:  # noqa: ANN401
    """Register our attention, and tell whether this model gives the same logits with it."""
    import torch
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionInterface.register(ATTENTION, _attend)
    AttentionMaskInterface.register(ATTENTION, eager_mask)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            expected = model(**sample).logits
            with _attention(model, ATTENTION):
                found = model(**sample).logits
    except (TypeError, RuntimeError, KeyError) as error:
        say(f"keeping Transformers' attention: ours does not fit this architecture ({error})")
        return False
    finally:
        model.train(was_training)
    return bool((found - expected).abs().max() < SAME_LOGITS)


def _attend(
    module: Any,  # noqa: ANN401
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,  # noqa: ANN401
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) with ``drop`` on its weights.

    Args:
        module: The attention layer that calls.
        query: What asks, (rows, heads, length, width).
        key: What is asked, of the same shape.
        value: What is mixed, of the same shape.
        attention_mask: Added to the scores: 0 for tokens that count, the least number for padding.
        scaling: Factor of the scores; ``None`` takes one over the root of the width.
        dropout: Rate on the weights; the caller gives 0 outside training.

    Returns:
        The mixed values, (rows, length, heads, width), and the weights.
    """
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = (query * factor) @ key.transpose(2, 3)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = drop(scores.softmax(dim=-1), dropout if module.training else 0.0)
    return (weights @ value).transpose(1, 2).contiguous(), weights
