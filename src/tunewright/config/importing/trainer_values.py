"""Conversions of values as Transformers' trainer has them, which other tools took over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunewright.config.importing.rules import Aside, Convert, Given, Sets
from tunewright.config.importing.values import as_flag, as_number, as_text, choice, whole, whole_or_aside

ADAMW = ("adamw_torch", "adamw_torch_fused", "adamw_hf")
LEAN_ADAMW = ("adamw", "adamw_8bit", "adamw_bnb_8bit", "paged_adamw", "paged_adamw_8bit", "paged_adamw_32bit")
"""AdamW whose moments are held in less, or in other memory."""
ZERO = re.compile(r"(?:^|[^a-z])z(?:ero)?(?:[_-]?stage)?[_-]?([123])(?!\d)")
"""The stage of ZeRO in a file's name, such as ``zero3_bf16.json`` or ``ds_z2_config.json``."""
GENERATIONS = 8
"""Answers a prompt, by TRL 1.16's default."""
STRATEGIES = "choose training.strategy (ddp, fsdp2, zero1, zero2, zero3) and training.devices"


def schedule(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take the course of the learning rate."""
    constant = Sets({"training.schedule": "constant_with_warmup", "training.warmup_share": 0.0})
    other = Aside("unsupported", "take training.schedule linear, cosine or constant_with_warmup")
    known = {word: word for word in ("linear", "cosine", "constant_with_warmup")} | {"constant": constant}
    return choice(known, others=other)(value, _given)


def optimizer(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Say what becomes of an optimiser; ours is always AdamW with the moments in float32."""
    known = {name: Aside("default", "tunewright trains with it") for name in ADAMW}
    lean = Aside("unsupported", "AdamW with moments in float32 is taken, which needs more memory")
    known |= dict.fromkeys(LEAN_ADAMW, lean)
    other = Aside("unsupported", "tunewright trains with AdamW: choose training.learning_rate for it")
    return choice(known, others=other)(value, given)


def warmup_steps(scheduler: str) -> Convert:
    """Take steps of warm-up, exactly where the number of all steps is known.

    Args:
        scheduler: The tool's key for the schedule; a constant one has no warm-up.
    """

    def convert(value: Any, given: Given) -> Any:  # noqa: ANN401
        steps = as_number(value, least=0)
        if given.values.get(scheduler) == "constant":
            return Aside("not_needed", f"{scheduler} constant has no warm-up")
        if steps == 0:
            if given.says("warmup_ratio") and given.values["warmup_ratio"] != 0:
                return Aside("not_needed", "warmup_ratio says it")
            return Sets({"training.warmup_share": 0.0})
        if steps < 1:
            return Sets({"training.warmup_share": steps}, "below 1 it is a share")
        total = given.values.get("max_steps")
        if type(total) is int and total >= steps:
            return Sets({"training.warmup_share": steps / total}, "warmup_steps / max_steps")
        return Aside(
            "unsupported",
            f"a recipe has a share: set training.warmup_share to {steps:g} / steps, which"
            " `tunewright check` tells",
        )

    return convert


def warmup_ratio(scheduler: str) -> Convert:
    """Take the share of steps with a rising learning rate."""

    def convert(value: Any, given: Given) -> Any:  # noqa: ANN401
        share = as_number(value, least=0, most=1)
        if given.values.get(scheduler) == "constant":
            return Aside("not_needed", f"{scheduler} constant has no warm-up")
        steps = given.values.get("warmup_steps")
        if steps not in (None, 0, 0.0):
            return Aside("not_needed", "warmup_steps overrules it")
        return share

    return convert


def is_on(given: Given, key: str) -> bool:
    """Tell whether a switch of the file is on; ``auto`` is neither."""
    return given.says(key) and given.values[key] != "auto"


def bf16(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take bf16: on, off or auto."""
    if value in ("auto", "full"):
        return Aside("not_needed", "fp16 says it") if is_on(given, "fp16") else "auto"
    if as_flag(value):
        return "bf16"
    return Aside("not_needed", "fp16 says it") if is_on(given, "fp16") else "fp32"


def fp16(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take fp16; off says nothing that bf16 doesn't."""
    if as_flag(value):
        return "fp16"
    return Aside("default", "off")


def max_steps(value: Any, _given: Given) -> Aside:  # noqa: ANN401
    """Say what becomes of a limit in steps."""
    if as_number(value) <= 0:
        return Aside("default", "no limit")
    return Aside("unsupported", "a recipe counts passes over the rows: set training.epochs")


def deepspeed(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take the stage of ZeRO from the name of DeepSpeed's file; the file itself is not read."""
    found = ZERO.search(Path(str(value)).name.lower())
    if found is None:
        return Aside("unsupported", STRATEGIES)
    note = "by its name; tunewright writes DeepSpeed's other settings itself; set training.devices"
    return Sets({"training.strategy": f"zero{found[1]}"}, note)


def zero_stage(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take the stage of ZeRO from DeepSpeed's own settings."""
    stage = whole(least=0, most=3)(value, _given)
    return Sets({"training.strategy": f"zero{stage}" if stage else "ddp"}, "set training.devices")


def fsdp(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take sharding by PyTorch; ours is its second generation."""
    if value in ("", [], False, {}):
        return Aside("default", "off")
    return Sets({"training.strategy": "fsdp2"}, "as FSDP2; set training.devices")


def gradient_norm(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take the norm that gradients are clipped to; 0 means no clipping, which a recipe can't say."""
    norm = as_number(value, least=0)
    return norm or Aside("unsupported", "0 is no clipping: set a large training.max_grad_norm instead")


def save_steps(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take the steps between checkpoints where they are counted in steps."""
    if given.values.get("save_strategy", "steps") != "steps":
        return Aside("not_needed", "save_strategy overrules it")
    aside = Aside("not_needed", "a share of the steps: tunewright writes about ten checkpoints a run")
    return whole_or_aside(aside)(value, given)


def early_stopping(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Say what becomes of patience: theirs is counted in evaluations, ours in epochs."""
    return Aside(
        "unsupported" if as_number(value) > 0 else "default",
        "counts evaluations there and epochs here: set training.early_stopping_patience",
    )


def cpu(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take the wish to train on the processor."""
    return "cpu" if as_flag(value) else Aside("default", "a GPU is taken when there is one")


def validation_share(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take the share of rows for validation; a recipe always has one."""
    share = as_number(value, least=0)
    if share == 0:
        return Aside("unsupported", "a recipe always keeps rows for validation: see data.validation_share")
    if share >= 1:
        return Aside("unsupported", "counts rows, and a recipe has a share: set data.validation_share")
    return share


def revision(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take the revision of a model."""
    name = as_text(value)
    return Aside("default", "the hub's default") if name == "main" else name


def prompts(batch: int, generations: object) -> Any:  # noqa: ANN401
    """Turn GRPO's batch into ours: TRL counts answers, and a recipe prompts with several answers each.

    Args:
        batch: Answers a step and device.
        generations: Answers a prompt, as the file says; TRL's 8 where it doesn't.
    """
    each = generations if type(generations) is int and generations > 0 else GENERATIONS
    if batch % each:
        return Aside("unsupported", f"counts answers, {each} a prompt: set training.batch_size in prompts")
    return Sets({"training.batch_size": batch // each}, f"{batch} answers are {batch // each} prompts")


def packs(_values: Mapping[str, Any], objective: str) -> str | None:
    """Return that rows aren't packed where the file doesn't say, of objectives that could."""
    return "off" if objective in ("sft", "pretrain") else None
