"""LLaMA-Factory's YAML and JSON; its keys were checked against the arguments in its public source (2025 and 2026)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunewright.config.importing.llamafactory_aside import ASIDE
from tunewright.config.importing.llamafactory_data import dataset
from tunewright.config.importing.rules import Aside, Default, Given, Sets, Table, Tool, judge, take
from tunewright.config.importing.trainer_keys import TRAINER
from tunewright.config.importing.trainer_values import packs, revision, validation_share
from tunewright.config.importing.values import (
    as_flag,
    as_text,
    as_whole,
    choice,
    flag,
    number,
    on_off,
    target_modules,
    text,
    whole,
)
from tunewright.support.errors import InputError

STAGES = {"sft": "sft", "pt": "pretrain", "rm": "reward", "dpo": "dpo", "kto": "kto"}
LOSSES = ("sigmoid", "ipo", "hinge")
FOUR_BIT, EIGHT_BIT = 4, 8


def stage(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take what is learned; DPO with ORPO's loss is an objective of its own."""
    name = as_text(value).lower()
    if name not in STAGES:
        raise InputError(
            f"stage = {value!r} has no counterpart",
            place=str(given.file),
            mend=f"tunewright has {', '.join(STAGES)}",
        )
    if name == "dpo" and given.values.get("pref_loss") == "orpo":
        return "orpo"
    return STAGES[name]


def preference_loss(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take the loss on preferences."""
    name = as_text(value).lower()
    if given.values.get("stage", "sft") != "dpo":
        return Aside("not_needed", "read by the stage dpo alone")
    if name == "orpo":
        return Sets({"training.objective": "orpo"})
    if name not in LOSSES:
        raise InputError(
            f"pref_loss = {value!r} has no counterpart",
            place=str(given.file),
            mend=f"tunewright has {', '.join(LOSSES)}, orpo",
        )
    return Sets({"training.preference.loss": name})


def method(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take how the weights are trained; 4 bits and DoRA stand in keys of their own."""
    name = as_text(value).lower()
    if name == "lora":
        return lora_method(given.values)
    other = Aside("unsupported", "choose training.method: full, lora, qlora or dora")
    return choice({"full": "full"}, others=other)(value, given)


def lora_method(values: Mapping[str, Any], _objective: str = "") -> str:
    """Return the method that adapters are trained by."""
    if str(values.get("use_dora")).lower() == "true":
        return "dora"
    return "qlora" if str(values.get("quantization_bit")) == str(FOUR_BIT) else "lora"


def dora(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take DoRA."""
    return "dora" if as_flag(value) else Aside("default", "off")


def bits(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take how the frozen weights are held."""
    asked = as_whole(value, least=1)
    if asked == EIGHT_BIT:
        return "8bit"
    if asked != FOUR_BIT:
        return Aside("unsupported", "choose model.load_in: full, 8bit or 4bit")
    if lora_method(given.values) == "qlora":
        return Aside("not_needed", "training.method=qlora holds the base so")
    return "4bit"


def packing(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take packing; ``neat_packing`` switches it on too."""
    if not as_flag(value) and given.says("neat_packing"):
        return Aside("not_needed", "neat_packing says it")
    return on_off(value, given)


def neat_packing(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take packing that keeps rows apart, as ours always does."""
    return "on" if as_flag(value) else Aside("default", "off")


def on_prompt(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take loss on the prompt; off is what auto means."""
    return "all" if as_flag(value) else Aside("default", "answers alone carry loss")


def last_turn(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take loss on the last answer alone."""
    return "completion" if as_flag(value) else Aside("default", "every answer carries loss")


def pure_bf16(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take bf16, with a note that the weights stay as they are."""
    if not as_flag(value):
        return Aside("default", "off")
    return Sets({"training.precision": "bf16"}, "weights that are trained stay in float32")


def no_checkpointing(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take gradient checkpointing, which they switch off by a key of its own."""
    return "off" if as_flag(value) else "on"


def template(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Say what becomes of a chat template's name."""
    as_text(value)
    note = "the tokenizer's own is taken: `tunewright data preview` shows it, model.template gives another"
    return Aside("not_needed", note)


def alpha(values: Mapping[str, Any], _objective: str) -> int | None:
    """Return the scale of adapters that the file doesn't give: twice the rank."""
    try:
        return 2 * int(values.get("lora_rank") or 8)
    except (TypeError, ValueError):
        return None


TAKEN: Table = {
    "stage": take("training.objective", stage),
    "model_name_or_path": take("model.name", text),
    "model_revision": take("model.revision", revision),
    "trust_remote_code": take("model.trust_remote_code", flag, "only if you have read that code"),
    "quantization_bit": take("model.load_in", bits),
    "finetuning_type": take("training.method", method),
    "use_dora": take("training.method", dora),
    "lora_rank": take("training.lora.r", whole()),
    "lora_alpha": take("training.lora.alpha", whole()),
    "lora_dropout": take("training.lora.dropout", number(least=0, most=1)),
    "lora_target": take("training.lora.target_modules", target_modules),
    "dataset": judge(dataset),
    "max_samples": take("data.max_rows", whole()),
    "cutoff_len": take("model.max_length", whole(least=8)),
    "val_size": take("data.validation_share", validation_share),
    "template": judge(template),
    "default_system": take("data.system", text),
    "packing": take("training.packing", packing, "rows stay apart from each other"),
    "neat_packing": take("training.packing", neat_packing),
    "train_on_prompt": take("training.loss_on", on_prompt),
    "mask_history": take("training.loss_on", last_turn),
    "disable_gradient_checkpointing": take("training.gradient_checkpointing", no_checkpointing),
    "pure_bf16": judge(pure_bf16),
    "pref_beta": take("training.preference.beta", number(above=0)),
    "pref_loss": judge(preference_loss),
    "kto_chosen_weight": take("training.preference.desirable_weight", number(above=0)),
    "kto_rejected_weight": take("training.preference.undesirable_weight", number(above=0)),
}


def packs_text(values: Mapping[str, Any], objective: str) -> str | None:
    """Return whether rows are packed where the file doesn't say: in pre-training they are."""
    return "on" if objective == "pretrain" else packs(values, objective)


DEFAULTS = (
    Default(("finetuning_type", "use_dora"), "training.method", lora_method),
    Default(("lora_rank",), "training.lora.r", 8),
    Default(("lora_alpha",), "training.lora.alpha", alpha, "twice the rank"),
    Default(("lora_dropout",), "training.lora.dropout", 0.0),
    Default(("cutoff_len",), "model.max_length", 2048),
    Default(("packing", "neat_packing"), "training.packing", packs_text),
    Default(("disable_gradient_checkpointing",), "training.gradient_checkpointing", "on"),
    Default(("num_train_epochs", "max_steps"), "training.epochs", 3.0),
    Default(("per_device_train_batch_size",), "training.batch_size", 8),
    Default(("learning_rate",), "training.learning_rate", 5e-5),
    Default(("lr_scheduler_type",), "training.schedule", "linear"),
    Default(("warmup_steps", "warmup_ratio"), "training.warmup_share", 0.0),
    Default(("weight_decay",), "training.weight_decay", 0.0),
)

LLAMA_FACTORY = Tool(
    name="LLaMA-Factory",
    table={**TRAINER, **TAKEN, **ASIDE},
    defaults=DEFAULTS,
    notes=(
        "a recipe keeps rows for validation and for the comparison with what it replaces (data.validation_share,"
        " data.test_share); LLaMA-Factory trains on them",
        "batch sizes mean the same: rows a step and device, with accumulation beside",
    ),
)
