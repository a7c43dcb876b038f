"""TRL's YAML for `trl sft …` and dumps of its configurations as JSON; keys as in the releases 0.12 to 1.16."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunewright.config.importing.rules import Aside, Default, Given, Sets, Table, Tool, judge, take
from tunewright.config.importing.trainer_keys import TRAINER
from tunewright.config.importing.trainer_values import GENERATIONS, packs, prompts, revision
from tunewright.config.importing.trl_aside import ASIDE
from tunewright.config.importing.values import (
    as_flag,
    as_number,
    as_text,
    as_whole,
    fixed,
    flag,
    number,
    on_off,
    target_modules,
    text,
    whole,
    whole_or_aside,
)
from tunewright.support.errors import InputError

OBJECTIVES = ("sft", "dpo", "orpo", "kto", "reward", "grpo")
"""What TRL trains and a recipe can have."""
ONLY_OF: Mapping[str, tuple[str, ...]] = {
    "sft": (
        "packing", "packing_strategy", "eval_packing", "assistant_only_loss", "completion_only_loss",
        "dataset_text_field", "dataset_kwargs", "max_seq_length",
    ),
    "dpo": (
        "f_divergence_type", "f_alpha_divergence_coef", "ld_alpha", "discopop_tau", "use_weighting",
        "label_smoothing", "loss_weights", "rpo_alpha", "use_logits_to_keep", "reference_free",
    ),
    "kto": ("desirable_weight", "undesirable_weight"),
    "reward": ("center_rewards_coefficient",),
    "grpo": (
        "num_generations", "reward_funcs", "reward_weights", "scale_rewards", "num_iterations", "epsilon",
        "epsilon_high", "importance_sampling_level", "mask_truncated_completions", "use_vllm", "steps_per_generation",
        "reward_model_name_or_path",
    ),
}  # fmt: skip
"""Keys that one trainer alone has."""
DPO_LOSSES = ("sigmoid", "ipo", "hinge")
OTHER_LOSSES: Mapping[str, str] = {
    "nll": "sft",
    "dft": "sft",
    "chunked_nll": "sft",
    "kto": "kto",
    "apo_zero_unpaired": "kto",
    **dict.fromkeys(("grpo", "bnpo", "dr_grpo", "dapo"), "grpo"),
    **dict.fromkeys(DPO_LOSSES, "dpo"),
}
"""The trainer that a ``loss_type`` belongs to."""
PLAIN_LOSSES = ("nll", "chunked_nll", "kto")
LEARNING_RATES = {"sft": 2e-5, "dpo": 1e-6, "orpo": 1e-6, "kto": 1e-6, "reward": 1e-4, "grpo": 1e-6}
"""Of TRL 1.16, by trainer."""


def objective_of(values: Mapping[str, Any], file: Path) -> str | None:
    """Find the trainer by the keys and losses that it alone has.

    Raises:
        InputError: When nothing says it, or several trainers are meant.
    """
    found = {name for name, keys in ONLY_OF.items() if any(values.get(key) is not None for key in keys)}
    losses = values.get("loss_type")
    for loss in losses if isinstance(losses, list) else [losses]:
        if isinstance(loss, str) and loss in OTHER_LOSSES:
            found.add(OTHER_LOSSES[loss])
    if len(found) == 1:
        return found.pop()
    fact = f"may be of {' or '.join(sorted(found))}" if found else "doesn't say which trainer it is for"
    raise InputError(fact, place=str(file), mend=f"add --objective with one of {', '.join(OBJECTIVES)}")


def method(values: Mapping[str, Any], _objective: str = "") -> str:
    """Return how the weights are trained: without ``use_peft`` TRL trains all of them."""
    if not _is_true(values.get("use_peft")):
        return "full"
    if _is_true(values.get("use_dora")):
        return "dora"
    return "qlora" if _is_true(values.get("load_in_4bit")) else "lora"


def use_peft(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take whether adapters are trained, and which."""
    as_flag(value)
    return method(given.values)


def use_dora(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take DoRA, which needs adapters."""
    if not as_flag(value):
        return Aside("default", "off")
    return (
        method(given.values)
        if given.says("use_peft")
        else Aside("not_needed", "without use_peft it does nothing")
    )


def four_bit(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take weights in 4 bits; the method qlora holds them so by itself."""
    if not as_flag(value):
        return Aside("default", "off")
    if method(given.values) == "qlora":
        return Aside("not_needed", "training.method=qlora holds the base so")
    return "4bit"


def eight_bit(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take weights in 8 bits."""
    return "8bit" if as_flag(value) else Aside("default", "off")


def beta(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take how strongly the reference holds: of GRPO, or of learning from preferences."""
    if given.objective == "grpo":
        return Sets({"training.grpo.beta": as_number(value, least=0)})
    return Sets({"training.preference.beta": as_number(value, above=0)})


def batch(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take the rows of a step and device; of GRPO they count answers."""
    size = as_whole(value)
    return prompts(size, given.values.get("num_generations")) if given.objective == "grpo" else size


def default_batch(_values: Mapping[str, Any], objective: str) -> int | None:
    """Return the rows of a step and device where the file doesn't say; of GRPO's answers nothing is assumed."""
    return None if objective == "grpo" else 8


def loss_type(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take DPO's loss; other trainers' plain losses are ours."""
    names = value if isinstance(value, list) else [value]
    name = as_text(names[0]) if len(names) == 1 else ""
    if name in DPO_LOSSES:
        return Sets({"training.preference.loss": name})
    if name in PLAIN_LOSSES:
        return Aside("default", "tunewright learns by it")
    if OTHER_LOSSES.get(name) == "grpo":
        return Aside("unsupported", "GRPO has its plain loss here: leave it out")
    return Aside("unsupported", f"preferences are learned by {', '.join(DPO_LOSSES)}; other losses are plain")


def assistant_only(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take loss on what the assistant says."""
    if as_flag(value):
        return "assistant"
    return Aside("default", "auto: of conversations the answers alone; training.loss_on=all for every token")


def completion_only(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take loss on the completion."""
    if given.says("assistant_only_loss"):
        return Aside("not_needed", "assistant_only_loss says it")
    return "completion" if as_flag(value) else "all"


def data_source(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take the file where a mixture's ``path`` names a loader."""
    if value in ("json", "csv", "parquet", "text", "arrow") and given.beside.get("data_files"):
        return Aside("not_needed", "the format of the file is found by tunewright")
    return as_text(value)


def data_files(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take a single file."""
    if isinstance(value, str) and given.beside.get("path") in ("json", "csv", "parquet", "text", "arrow"):
        return Sets({"data.source": as_text(value)})
    return Aside("unsupported", "a recipe reads one source: set data.source to a file, a folder or a pattern")


def max_length(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take the tokens of a row."""
    return as_whole(value, least=8)


def template_file(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take a chat template from a file; one of another model's folder can't be named."""
    if as_text(value).endswith((".jinja", ".jinja2", ".j2")):
        return as_text(value)
    return Aside("unsupported", "copy that model's chat template to a file, and name it as model.template")


def _is_true(value: object) -> bool:
    return value is True or str(value).lower() in ("true", "yes", "on", "1")


TAKEN: Table = {
    "model_name_or_path": take("model.name", text),
    "model_revision": take("model.revision", revision),
    "trust_remote_code": take("model.trust_remote_code", flag, "only if you have read that code"),
    "load_in_4bit": take("model.load_in", four_bit),
    "load_in_8bit": take("model.load_in", eight_bit),
    "use_peft": take("training.method", use_peft),
    "use_dora": take("training.method", use_dora),
    "lora_r": take("training.lora.r", whole()),
    "lora_alpha": take("training.lora.alpha", whole()),
    "lora_dropout": take("training.lora.dropout", number(least=0, most=1)),
    "lora_target_modules": take("training.lora.target_modules", target_modules),
    "dataset_name": take("data.source", text),
    "dataset_config": take("data.hub_config", text),
    "dataset_train_split": take("data.hub_split", text),
    "datasets[].path": take("data.source", data_source),
    "datasets[].name": take("data.hub_config", text),
    "datasets[].split": take("data.hub_split", text),
    "datasets[].data_files": judge(data_files, below="one source"),
    "dataset_text_field": judge(fixed(("text",), "rename the column: tunewright reads text")),
    "chat_template_path": take("model.template", template_file),
    "max_length": take("model.max_length", max_length),
    "max_seq_length": take("model.max_length", max_length),
    "packing": take("training.packing", on_off, "rows stay apart from each other"),
    "assistant_only_loss": take("training.loss_on", assistant_only),
    "completion_only_loss": take("training.loss_on", completion_only),
    "gradient_checkpointing": take("training.gradient_checkpointing", on_off),
    "beta": judge(beta),
    "loss_type": judge(loss_type),
    "per_device_train_batch_size": take("training.batch_size", batch),
    "desirable_weight": take("training.preference.desirable_weight", number(above=0)),
    "undesirable_weight": take("training.preference.undesirable_weight", number(above=0)),
    "num_generations": take("training.grpo.generations", whole(least=2)),
    "max_completion_length": take(
        "training.grpo.max_new_tokens",
        whole_or_aside(Aside("unsupported", "set training.grpo.max_new_tokens")),
    ),
    "temperature": take("training.grpo.temperature", number(above=0)),
}


def _of(objective: str, value: Any) -> Any:  # noqa: ANN401
    """Return a default that one trainer alone has."""
    return lambda _values, trained: value if trained == objective else None


DEFAULTS = (
    Default(("use_peft",), "training.method", method),
    Default(
        ("max_length", "max_seq_length"),
        "model.max_length",
        lambda _values, name: None if name == "grpo" else 1024,
    ),
    Default(("packing",), "training.packing", packs),
    Default(("gradient_checkpointing",), "training.gradient_checkpointing", "on"),
    Default(("num_train_epochs", "max_steps"), "training.epochs", 3.0),
    Default(("per_device_train_batch_size",), "training.batch_size", default_batch),
    Default(("learning_rate",), "training.learning_rate", lambda _values, name: LEARNING_RATES[name]),
    Default(("lr_scheduler_type",), "training.schedule", "linear"),
    Default(("warmup_steps", "warmup_ratio"), "training.warmup_share", 0.0),
    Default(("weight_decay",), "training.weight_decay", 0.0),
    Default(("num_generations",), "training.grpo.generations", _of("grpo", GENERATIONS)),
    Default(("max_completion_length",), "training.grpo.max_new_tokens", _of("grpo", 512)),
)

TRL = Tool(
    name="TRL",
    table={**TRAINER, **TAKEN, **ASIDE},
    defaults=DEFAULTS,
    notes=(
        "a recipe keeps rows for validation and for the comparison with what it replaces (data.validation_share,"
        " data.test_share)",
        "batch sizes mean the same: rows a step and device, with accumulation beside",
        "without lora_target_modules PEFT adapts the attention of many models alone, and a recipe all linear layers",
    ),
    objective=objective_of,
)
