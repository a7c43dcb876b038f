"""Low-rank adapters on the encoder, with the whole head trained beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunewright.models.heads import head_names, is_head_weight
from tunewright.models.loading import seeded
from tunewright.support.errors import InputError, nearest

if TYPE_CHECKING:
    from tunewright.config.schema import Lora


def add_lora(model: Any, config: Lora, *, seed: int) -> Any:  # noqa: ANN401
    """Freeze a classifier and put adapters on its encoder (Hu et al. 2021, arXiv:2106.09685).

    Every linear layer of the encoder is adapted (query and value alone let a classifier collapse to one
    class), and the head, pooler included, is trained whole and saved with the adapter.

    Args:
        model: From ``load_encoder``.
        config: Rank, scale, dropout and layers.
        seed: Draws the adapters' first weights.

    Returns:
        A ``peft.PeftModel``.

    Raises:
        InputError: When ``target_modules`` names a layer that the model doesn't have.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    settings = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=config.r,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=_targets(model, config),
        modules_to_save=[name.rsplit(".", 1)[-1] for name in head_names(model)],
    )
    with seeded(seed):
        return get_peft_model(model, settings)


def _targets(model: Any, config: Lora) -> list[str]:  # noqa: ANN401
    """Return the full names of the layers to adapt."""
    layers = _linear_layers(model)
    if not layers:
        raise InputError(
            f"{type(model).__name__} has no linear layer to adapt",
            place="training.method",
            mend="take training.method=full",
        )
    if config.target_modules is None:
        return layers
    for wanted in config.target_modules:
        if not any(_matches(layer, wanted) for layer in layers):
            known = sorted({layer.rsplit(".", 1)[-1] for layer in layers})
            raise InputError(
                f"the encoder has no linear layer '{wanted}'",
                place="training.lora.target_modules",
                mend=nearest(wanted, known) or f"take some of {', '.join(known)}",
            )
    return [layer for layer in layers if any(_matches(layer, wanted) for wanted in config.target_modules)]


def _matches(layer: str, wanted: str) -> bool:
    """Tell whether a dotted name ends in the wanted one."""
    return layer == wanted or layer.endswith(f".{wanted}")


def _linear_layers(model: Any) -> list[str]:  # noqa: ANN401
    """Return the names of the encoder's linear layers (GPT-2's ``Conv1D`` is one in another layout)."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    heads = head_names(model)
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and not is_head_weight(name, heads)
    ]
