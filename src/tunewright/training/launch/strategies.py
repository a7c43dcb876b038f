"""How several processes share a model: packaged configurations that a person can read and copy.

==========  ===============================  ==========================================================
strategy    file                             what is cut over the processes
==========  ===============================  ==========================================================
``ddp``     ``configs/ddp.yaml``             nothing
``fsdp2``   ``configs/fsdp2.yaml``           weights, gradients, optimiser state (PyTorch)
``zero1``   ``configs/zero1.json``           optimiser state (DeepSpeed, arXiv:1910.02054)
``zero2``   ``configs/zero2.json``           gradients as well
``zero3``   ``configs/zero3.json``           weights as well
==========  ===============================  ==========================================================
"""

from __future__ import annotations

import importlib.util
import json
from importlib import resources
from typing import TYPE_CHECKING, Any, get_args

from tunewright.support.errors import InputError
from tunewright.training.group import Strategy

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.training.group import Group

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
DEEPSPEED = frozenset({"zero1", "zero2", "zero3"})
CUTTING_WEIGHTS = frozenset({"fsdp2", "zero3"})


def configuration(strategy: Strategy) -> dict[str, Any]:
    """Return a strategy's packaged configuration; ``auto`` in DeepSpeed's is filled in from the recipe."""
    import yaml

    name = f"{strategy}.json" if strategy in DEEPSPEED else f"{strategy}.yaml"
    text = (resources.files("tunewright.training.launch") / "configs" / name).read_text(encoding="utf-8")
    read: dict[str, Any] = json.loads(text) if strategy in DEEPSPEED else yaml.safe_load(text)
    return read


def strategy_of(recipe: Recipe) -> Strategy:
    """Return the strategy that a recipe asks for, ``ddp`` where it leaves the choice.

    Raises:
        InputError: When it doesn't fit the method, or its library isn't installed.
    """
    asked = recipe.training.strategy
    chosen: Strategy = "ddp" if asked == "auto" else asked
    if chosen in DEEPSPEED and importlib.util.find_spec("deepspeed") is None:
        raise InputError(
            "DeepSpeed isn't installed",
            place=f"training.strategy={chosen}",
            mend="`pip install deepspeed`, or take ddp or fsdp2, which need nothing more",
        )
    holds_few_bits = recipe.training.method == "qlora" or recipe.model.load_in != "full"
    if chosen in CUTTING_WEIGHTS and holds_few_bits:
        raise InputError(
            "weights of few bits can't be cut over processes",
            place=f"training.strategy={chosen}",
            mend="take training.strategy=ddp, or training.method=lora with model.load_in=full",
        )
    return chosen


def trainer_options(group: Group) -> dict[str, Any]:
    """Return what the Trainer's arguments hold for a strategy, beside what Accelerate is told."""
    if group.size == 1:
        return {}
    # The Trainer would otherwise ask the model, in words that it calls deprecated.
    options: dict[str, Any] = {"ddp_find_unused_parameters": False}
    if group.strategy in DEEPSPEED:
        options["deepspeed"] = configuration(group.strategy)
    return options


def accelerator_options(strategy: Strategy) -> dict[str, Any]:
    """Return what Accelerate's ``Accelerator`` is told for a strategy."""
    from accelerate.utils import DistributedDataParallelKwargs, FullyShardedDataParallelPlugin

    if strategy == "ddp":
        return {"kwargs_handlers": [DistributedDataParallelKwargs(**configuration(strategy))]}
    if strategy == "fsdp2":
        return {"fsdp_plugin": FullyShardedDataParallelPlugin(**configuration(strategy))}
    return {}
