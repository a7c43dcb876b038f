"""Weights held in 4 or 8 bits by bitsandbytes, guarded against what it gets wrong on some processors.

On a CPU with avx512_bf16, bitsandbytes 0.50 packs 4-bit weights anew for a kernel without gradients as soon as a
forward pass runs in evaluation mode: gradients and merges are wrong from then on, and nothing says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from tunewright.support.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import torch

Loading = Literal["full", "8bit", "4bit"]


def quantisation(load_in: Loading, *, compute_dtype: torch.dtype) -> Any:  # noqa: ANN401
    """Return Transformers' quantisation settings: NF4 with double quantisation (arXiv:2305.14314), or LLM.int8.

    Raises:
        MissingExtraError: When bitsandbytes isn't installed.
    """
    from importlib.util import find_spec

    if find_spec("bitsandbytes") is None:
        raise MissingExtraError("holding weights in 4 or 8 bits", "llm")
    from transformers import BitsAndBytesConfig

    make: Any = BitsAndBytesConfig
    if load_in == "8bit":
        return make(load_in_8bit=True)
    return make(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def keep_gradients_right(model: Any) -> None:  # noqa: ANN401
    """Keep bitsandbytes from packing 4-bit weights for its kernel without gradients."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def is_quantised(model: Any) -> bool:  # noqa: ANN401
    """Tell whether any weight is held in 4 or 8 bits."""
    return any(type(weight).__name__ in {"Params4bit", "Int8Params"} for weight in model.parameters())


def dequantised_weight(module: Any) -> torch.Tensor:  # noqa: ANN401
    """Return a linear layer's weight as float32 (out, in), whatever it is held in.

    Raises:
        InputError: When its bytes were packed for another kernel.
    """
    import torch

    weight = module.weight
    kind = type(weight).__name__
    if kind == "Params4bit":
        from bitsandbytes.functional import dequantize_4bit

        state = weight.quant_state
        if getattr(state, "packing_format_for_cpu", False):
            raise InputError(
                "its 4-bit weights were packed for a kernel that can't give them back",
                place=type(module).__name__,
                mend="load the model again and merge before anything is evaluated",
            )
        whole: torch.Tensor = dequantize_4bit(weight.data, state)
        return whole.to(torch.float32)
    if kind == "Int8Params":
        from bitsandbytes.functional import int8_vectorwise_dequant

        scale = weight.SCB if weight.SCB is not None else module.state.SCB
        whole = int8_vectorwise_dequant(weight.data, scale)
        return whole.to(torch.float32)
    held: torch.Tensor = weight.detach()
    return held.to(torch.float32)
