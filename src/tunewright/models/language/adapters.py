"""Low-rank adapters on a causal model: LoRA, QLoRA and DoRA, on the layers that suit its family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunewright.models.loading import seeded
from tunewright.support.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.config.schema import Lora

ALL_LINEAR = "all-linear"


def add_adapter(
    model: Any,  # noqa: ANN401
    config: Lora,
    *,
    modules: Sequence[str],
    seed: int,
    magnitudes: bool = False,
    task: str = "CAUSAL_LM",
) -> Any:  # noqa: ANN401
    """Freeze a model and put adapters on it (Hu et al. 2021, arXiv:2106.09685).

    Args:
        model: From ``load_causal``.
        config: Rank, scale, dropout, and layers where the recipe names them.
        modules: Layers of its family, by the ends of their names; ``all-linear`` means every linear layer.
        seed: Draws the adapters' first weights.
        magnitudes: Train the weights' magnitudes apart (DoRA, Liu et al. 2024, arXiv:2402.09353).
        task: PEFT's task type.

    Returns:
        A ``peft.PeftModel``.

    Raises:
        InputError: When a layer that is named isn't there.
    """
    from peft import LoraConfig, get_peft_model

    wanted = list(config.target_modules or modules)
    target: str | list[str] = ALL_LINEAR if wanted == [ALL_LINEAR] else wanted
    if config.target_modules:
        _require_layers(model, wanted)
    elif target != ALL_LINEAR and not _present(model, wanted):
        target = ALL_LINEAR
    settings = LoraConfig(
        task_type=task,
        r=config.r,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=target,
        use_dora=magnitudes,
    )
    with seeded(seed):
        return get_peft_model(model, settings)


def _require_layers(model: Any, wanted: Sequence[str]) -> None:  # noqa: ANN401
    """Refuse the first name that no linear layer ends with."""
    for name in wanted:
        if name != ALL_LINEAR and not _present(model, [name]):
            known = sorted({layer.rsplit(".", 1)[-1] for layer in _linear_layers(model)})
            raise InputError(
                f"the model has no linear layer '{name}'",
                place="training.lora.target_modules",
                mend=nearest(name, known) or f"take some of {', '.join(known)}",
            )


def _present(model: Any, wanted: Sequence[str]) -> bool:  # noqa: ANN401
    """Tell whether each name ends the name of a linear layer."""
    layers = _linear_layers(model)
    return all(any(each == name or each.endswith(f".{name}") for each in layers) for name in wanted)


def _linear_layers(model: Any) -> list[str]:  # noqa: ANN401
    """Return the names of the linear layers; GPT-2's ``Conv1D`` is one in another layout."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return [name for name, module in model.named_modules() if isinstance(module, (nn.Linear, Conv1D))]
