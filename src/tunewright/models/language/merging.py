"""An adapter folded into its base, also into one held in 4 or 8 bits, and the proof that nothing else changed."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunewright.models.inference import exact_matmul
from tunewright.models.language.generation import evaluating
from tunewright.models.language.quantised import dequantised_weight, is_quantised
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


@dataclass(frozen=True, slots=True)
class MergeCheck:
    """How a merged model's logits compare, on the same token ids."""

    probes: int
    from_adapter: float
    """Largest difference of a logit between the merged model and base with adapter."""
    from_base: float
    """Largest difference of a logit between the merged model and the base alone: what the adapter does."""
    bound: float
    was_quantised: bool
    """Whether the base was held in 4 or 8 bits; it was dequantised first."""

    def describe(self) -> str:
        """Say it in one line."""
        how = "dequantised and merged" if self.was_quantised else "merged"
        return (
            f"{how}: logits differ from the adapter's by {self.from_adapter:.1e} at most (allowed {self.bound:g}),"
            f" from the base's by {self.from_base:.3g}, on {self.probes} probes"
        )


def merge(model: Any, probes: Sequence[Sequence[int]], *, bound: float) -> tuple[Any, MergeCheck]:  # noqa: ANN401
    """Fold an adapter into its base, in float32; the model that is given stays as it is.

    Args:
        model: A ``peft.PeftModel`` around a causal model.
        probes: Token ids on which the forms are compared.
        bound: Largest difference of a logit that the merge may make.

    Returns:
        A plain Transformers model in evaluation mode, and how it compares.

    Raises:
        TunewrightError: When the merged model answers otherwise than the adapter does, or as the base does.
    """
    quantised = is_quantised(model)
    before = _logits(model, probes)
    with model.disable_adapter():
        base = _logits(model, probes)
    merged = _unquantised(model) if quantised else copy.deepcopy(model)
    plain = merged.merge_and_unload(safe_merge=True).eval()
    after = _logits(plain, probes)
    check = MergeCheck(len(probes), _largest(after, before), _largest(after, base), bound, quantised)
    if not check.from_adapter <= bound:
        raise TunewrightError(
            f"the merged model's logits differ from the adapter's by {check.from_adapter:.3g}, allowed are {bound:g}",
            place="merge",
            mend="keep the adapter apart, or raise registry.certificate_bound if you accept the difference",
        )
    if check.from_base == 0:
        raise TunewrightError(
            "the merged model answers exactly as the base does: the adapter changes nothing",
            place="merge",
            mend="check that the adapter belongs to this base and was trained",
        )
    return plain, check


def unquantised(base: Any) -> Any:  # noqa: ANN401
    """Return a causal model in float32, its weights being those that a model in 4 or 8 bits computes with."""
    import torch
    from transformers import AutoModelForCausalLM

    plain_config = copy.deepcopy(base.config)
    if hasattr(plain_config, "quantization_config"):
        del plain_config.quantization_config
    make: Any = AutoModelForCausalLM.from_config
    plain = make(plain_config, dtype=torch.float32)
    plain.load_state_dict(_weights(base), strict=False)
    plain.tie_weights()
    plain.generation_config = copy.deepcopy(base.generation_config)
    return plain.eval()


def _unquantised(model: Any) -> Any:  # noqa: ANN401
    """Return the same base with the same adapter in float32."""
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    settings = copy.deepcopy(model.peft_config["default"])
    adapted = get_peft_model(unquantised(model.get_base_model()), settings)
    set_peft_model_state_dict(adapted, get_peft_model_state_dict(model))
    return adapted.eval()


def _weights(model: Any) -> dict[str, torch.Tensor]:  # noqa: ANN401
    """Return a model's own weights in float32 on the CPU, quantised ones dequantised, adapters left out."""
    found: dict[str, torch.Tensor] = {}
    for path, module in model.named_modules():
        if ".lora_" in path:
            continue
        for name, weight in module.named_parameters(recurse=False):
            where = f"{path}.{name}".replace(".base_layer.", ".").lstrip(".")
            is_held = type(weight).__name__ in {"Params4bit", "Int8Params"}
            value = dequantised_weight(module) if is_held else weight.detach().float()
            found[where] = value.cpu()
    return found


def _logits(model: Any, probes: Sequence[Sequence[int]]) -> list[torch.Tensor]:  # noqa: ANN401
    """Return float32 logits (tokens, vocabulary) of each probe, scored alone."""
    import torch

    with evaluating(model), exact_matmul(), torch.inference_mode():
        return [
            model(torch.tensor([list(ids)], device=model.device)).logits[0].float().cpu() for ids in probes
        ]


def _largest(left: Sequence[torch.Tensor], right: Sequence[torch.Tensor]) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(left, right, strict=True))
