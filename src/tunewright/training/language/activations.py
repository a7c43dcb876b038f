"""Gradient checkpointing: activations computed twice instead of kept (Chen et al. 2016, arXiv:1604.06174)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tunewright.training.memory import available_memory
from tunewright.training.plan import TOKENS_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tunewright.config.schema import TrainingConfig
    from tunewright.training.hardware import Hardware

VALUES_A_LAYER = 34
"""Values of the model's width that a layer keeps of a token (Korthikanti et al. 2022, arXiv:2205.05198, equation 1),
there in bytes of 16-bit numbers: 17 values, twice over for gated feed-forward layers and float32 in places."""
ADAM_STATES = 2
ROOM = 0.8
"""Share of the free memory that may be filled by what is foreseen."""


@contextmanager
def recomputed(model: Any, *, wanted: bool) -> Iterator[None]:  # noqa: ANN401
    """Keep the inputs of each layer alone inside the block, and compute the rest again in the backward pass."""
    if not wanted:
        yield
        return
    # Not reentrant: with adapters no input of the first layer asks for a gradient.
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    try:
        yield
    finally:
        model.gradient_checkpointing_disable()


def wants_recomputing(
    config: TrainingConfig,
    model: Any,  # noqa: ANN401
    hardware: Hardware,
    *,
    longest: int,
) -> bool:
    """Tell whether activations are to be computed twice.

    Args:
        config: What the user asked for; ``auto`` says yes where a step's activations would not fit.
        model: A Transformers model, perhaps with adapters, on the CPU.
        hardware: Where it is trained.
        longest: Tokens of the longest row.
    """
    if config.gradient_checkpointing != "auto":
        return config.gradient_checkpointing == "on"
    tokens = longest * config.batch_size
    if hardware.device == "cpu":
        tokens = max(longest, min(tokens, TOKENS_AT_ONCE))
    weights = [
        (weight.numel() * weight.element_size(), weight.requires_grad) for weight in model.parameters()
    ]
    trained = sum(size for size, is_trained in weights if is_trained)
    on_device = 0 if hardware.device == "cpu" else sum(size for size, _ in weights)
    needed = on_device + (1 + ADAM_STATES) * trained + activation_bytes(model.config, tokens, longest)
    return bool(needed > ROOM * available_memory(hardware.device))


def activation_bytes(config: Any, tokens: int, length: int) -> int:  # noqa: ANN401
    """Estimate the bytes that the forward pass keeps for the backward pass.

    Args:
        config: A Transformers configuration of a causal model.
        tokens: Tokens computed at once.
        length: Tokens a row: the attention weights of each head grow with it where they are kept.
    """
    text = config.get_text_config()
    heads, width, layers = text.num_attention_heads, text.hidden_size, text.num_hidden_layers
    kept = VALUES_A_LAYER * width + heads * length
    return int(4 * tokens * (layers * kept + text.vocab_size))
