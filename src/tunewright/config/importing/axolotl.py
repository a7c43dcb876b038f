"""Axolotl's YAML; its keys were checked against the schemas in its public source (2025 and 2026)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunewright.config.importing.axolotl_aside import ASIDE
from tunewright.config.importing.axolotl_data import DATA, jinja_template, named_template
from tunewright.config.importing.rules import (
    Aside,
    Default,
    Given,
    Sets,
    Table,
    Tool,
    joined,
    judge,
    take,
)
from tunewright.config.importing.trainer_keys import TRAINER
from tunewright.config.importing.trainer_values import (
    early_stopping,
    optimizer,
    packs,
    prompts,
    schedule,
    validation_share,
    warmup_ratio,
    warmup_steps,
)
from tunewright.config.importing.values import (
    as_flag,
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

RL = {
    "dpo": Sets({"training.objective": "dpo"}),
    "ipo": Sets({"training.objective": "dpo", "training.preference.loss": "ipo"}),
    **{name: Sets({"training.objective": name}) for name in ("orpo", "kto", "grpo")},
}
METHODS = ("lora", "qlora")


def rl(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take what is learned; a kind that a recipe can't have leaves nothing to write."""
    if value is False:
        return Aside("default", "off")
    if str(value).lower() not in RL:
        raise InputError(
            f"rl = {value!r} has no counterpart",
            place=str(given.file),
            mend=f"tunewright has {', '.join(RL)}",
        )
    return choice(RL)(value, given)


def adapter(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take the method; DoRA stands in a key of its own."""
    if value in ("", False):
        return "full"
    known: dict[str, Any] = {name: "dora" if given.says("peft_use_dora") else name for name in METHODS}
    other = Aside("unsupported", "choose training.method: full, lora, qlora or dora")
    return choice(known, others=other)(value, given)


def dora(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take DoRA."""
    return "dora" if as_flag(value) else Aside("default", "off")


def four_bit(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take weights in 4 bits; the method qlora holds them so by itself."""
    if not as_flag(value):
        return Aside("default", "off")
    if given.values.get("adapter") == "qlora" and not given.says("peft_use_dora"):
        return Aside("not_needed", "training.method=qlora holds the base so")
    return "4bit"


def eight_bit(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take weights in 8 bits."""
    return "8bit" if as_flag(value) else Aside("default", "off")


def all_linear(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take adapters on all linear layers, which is what null means in a recipe."""
    if not as_flag(value):
        return Aside("default", "off")
    if given.values.get("lora_target_modules"):
        return Aside(
            "unsupported", "all linear layers and some by name: choose in training.lora.target_modules"
        )
    return Sets({"training.lora.target_modules": None}, "all linear layers")


def train_on_inputs(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take loss on the prompt; off is what auto means."""
    return "all" if as_flag(value) else Aside("default", "answers alone carry loss")


def checkpointing(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take gradient checkpointing, also where it offloads."""
    if value in ("offload", "offload_disk", "unsloth"):
        return Sets({"training.gradient_checkpointing": "on"}, f"without '{value}'")
    return on_off(value, given)


def batch(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take the rows of a step and device; of GRPO they count answers."""
    size = as_whole(value)
    if given.values.get("rl") != "grpo":
        return size
    settings = given.values.get("trl")
    return prompts(size, settings.get("num_generations") if isinstance(settings, Mapping) else None)


def total_batch(_value: Any, given: Given) -> Any:  # noqa: ANN401
    """Say what becomes of the rows of a step over all devices."""
    if given.values.get("micro_batch_size") and given.values.get("gradient_accumulation_steps"):
        return Aside("not_needed", "micro_batch_size and gradient_accumulation_steps say it")
    note = "rows a step over all devices: set training.batch_size and training.gradient_accumulation_steps"
    return Aside("unsupported", note)


def reward(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take reward modelling."""
    return Sets({"training.objective": "reward"}) if as_flag(value) else Aside("default", "off")


TAKEN: Table = {
    "base_model": take("model.name", text),
    "model_revision": take("model.revision", text),
    "revision_of_model": take("model.revision", text),
    "trust_remote_code": take("model.trust_remote_code", flag, "only if you have read that code"),
    "sequence_len": take("model.max_length", whole(least=8)),
    "load_in_4bit": take("model.load_in", four_bit),
    "load_in_8bit": take("model.load_in", eight_bit),
    "rl": judge(rl),
    "reward_model": judge(reward),
    "adapter": take("training.method", adapter),
    "peft_use_dora": take("training.method", dora),
    "lora_r": take("training.lora.r", whole()),
    "lora_alpha": take("training.lora.alpha", whole()),
    "lora_dropout": take("training.lora.dropout", number(least=0, most=1)),
    "lora_target_modules": take("training.lora.target_modules", target_modules),
    "lora_target_linear": judge(all_linear),
    "micro_batch_size": take("training.batch_size", batch),
    "batch_size": judge(total_batch),
    "num_epochs": take("training.epochs", number(above=0)),
    "lr_scheduler": take("training.schedule", schedule),
    "warmup_steps": judge(warmup_steps("lr_scheduler")),
    "warmup_ratio": take("training.warmup_share", warmup_ratio("lr_scheduler")),
    "optimizer": judge(optimizer),
    "bfloat16": TRAINER["bf16"],
    "float16": TRAINER["fp16"],
    "gradient_checkpointing": take("training.gradient_checkpointing", checkpointing),
    "sample_packing": take("training.packing", on_off, "rows stay apart from each other"),
    "train_on_inputs": take("training.loss_on", train_on_inputs),
    "val_set_size": take("data.validation_share", validation_share),
    "early_stopping_patience": judge(early_stopping),
    "noisy_embedding_alpha": TRAINER["neftune_noise_alpha"],
    "default_system_message": take("data.system", text),
    "chat_template": judge(named_template),
    "chat_template_jinja": take("model.template", jinja_template),
    "rl_beta": take("training.preference.beta", number(above=0)),
    "dpo_beta": take("training.preference.beta", number(above=0)),
    "orpo_alpha": take("training.preference.beta", number(above=0)),
    "kto_desirable_weight": take("training.preference.desirable_weight", number(above=0)),
    "kto_undesirable_weight": take("training.preference.undesirable_weight", number(above=0)),
    "trl.beta": take("training.grpo.beta", number(least=0)),
    "trl.num_generations": take("training.grpo.generations", whole(least=2)),
    "trl.max_completion_length": take("training.grpo.max_new_tokens", whole()),
    "trl.temperature": take("training.grpo.temperature", number(above=0)),
    "fsdp_version": judge(
        lambda _value, _given: Sets({"training.strategy": "fsdp2"}, "as FSDP2; set training.devices")
    ),
}


def objective_of(values: Mapping[str, Any], _file: Path) -> str | None:
    """Find an objective that no key of its own names: a data set for pre-training says it, without ``rl``."""
    return "pretrain" if values.get("pretraining_dataset") else None


DEFAULTS = (
    Default(("adapter", "peft_use_dora"), "training.method", "full"),
    Default(("micro_batch_size", "batch_size"), "training.batch_size", 1),
    Default(("num_epochs", "max_steps"), "training.epochs", 1.0),
    Default(("lr_scheduler",), "training.schedule", "cosine"),
    Default(("warmup_steps", "warmup_ratio"), "training.warmup_share", 0.03, "at most 100 steps there"),
    Default(("weight_decay",), "training.weight_decay", 0.0),
    Default(("lora_dropout",), "training.lora.dropout", 0.0),
    Default(("sequence_len",), "model.max_length", 512),
    Default(("sample_packing",), "training.packing", packs),
    Default(("gradient_checkpointing",), "training.gradient_checkpointing", "off"),
)

AXOLOTL = Tool(
    name="Axolotl",
    table=joined(TAKEN, DATA, ASIDE),
    defaults=DEFAULTS,
    notes=(
        "a recipe keeps rows for validation and for the comparison with what it replaces (data.validation_share,"
        " data.test_share); Axolotl trains on them",
        "batch sizes mean the same: rows a step and device, with accumulation beside",
    ),
    objective=objective_of,
)
