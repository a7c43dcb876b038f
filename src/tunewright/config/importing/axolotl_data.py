"""Axolotl's keys about data sets and chat templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunewright.config.importing.rules import (
    Aside,
    Given,
    Sets,
    Table,
    UnfitError,
    joined,
    judge,
    not_needed,
    take,
    unsupported,
)
from tunewright.config.importing.values import as_names, as_text, fixed, text

LOADERS = ("json", "csv", "parquet", "text", "arrow")
"""Names of loaders of the library ``datasets``; the file then stands in ``data_files``."""
KINDS = {"alpaca": "alpaca", "sharegpt": "sharegpt", "chat_template": "messages"}
"""What a ``type`` begins with, and the format of the rows."""
PREFERENCE_KINDS = (
    "chatml",
    "llama3",
    "zephyr",
    "chat_template",
    "user_defined",
    "passthrough",
    "bradley_terry",
)
CONVERT = "write the rows in a format that `tunewright data convert` knows"
RENAME = "rename the column: tunewright reads {}"
SHAREGPT = ("conversations",)
WHOLE_SPLITS = "read a whole split: set data.hub_split, and data.max_rows for a part"
FOUND = "the format of the file is found by tunewright"


def data_path(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take where the rows lie."""
    if value in LOADERS and given.beside.get("data_files"):
        return Aside("not_needed", FOUND)
    return as_text(value)


def data_files(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take the file where ``path`` names a loader; files within a hub's data set can't be told apart."""
    files = as_names(value)
    path = given.beside.get("path")
    if len(files) == 1 and (path in LOADERS or path is None):
        return Sets({"data.source": files[0]})
    return Aside("unsupported", "a recipe reads one source: set data.source to a file, a folder or a pattern")


def split(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Take a split that is named whole."""
    name = as_text(value)
    return Aside("unsupported", WHOLE_SPLITS) if set("[+") & set(name) else name


def kind(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take the format of the rows."""
    name = as_text(value).lower()
    head = name.partition(".")[0].partition(":")[0].split("_chat", maxsplit=1)[0]
    rl = str(given.values.get("rl") or "").lower()
    if rl in ("dpo", "ipo", "orpo", "kto") or given.says("reward_model"):
        if head in PREFERENCE_KINDS:
            return Sets({"data.chat_format": "kto" if rl == "kto" else "preference"})
        return Aside("unsupported", CONVERT)
    if head in ("completion", "pretrain"):
        return Sets({"training.objective": "pretrain", "data.chat_format": "text"})
    if name == "chat_template" and given.beside.get("field_messages") in SHAREGPT:
        return Sets({"data.chat_format": "sharegpt"}, "by field_messages")
    if head in KINDS:
        return Sets({"data.chat_format": KINDS[head]})
    return Aside("unsupported", CONVERT)


def column(*names: str) -> Any:  # noqa: ANN401
    """Say whether a column has a name that tunewright reads."""
    return judge(fixed(names, RENAME.format(" or ".join(names))))


def pretraining(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take a data set for pre-training."""
    if value in LOADERS and given.beside.get("data_files"):
        return Aside("not_needed", FOUND)
    return Sets({"data.source": as_text(value), "data.chat_format": "text", "training.objective": "pretrain"})


def trained_roles(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Say whether the assistant alone is learned from."""
    if set(as_names(value)) <= {"assistant", "gpt"}:
        return Aside("default", "answers alone carry loss")
    return Aside("unsupported", "the assistant alone is learned from, or all with training.loss_on=all")


def named_template(value: Any, _given: Given) -> Any:  # noqa: ANN401
    """Say what becomes of a chat template's name."""
    name = as_text(value)
    if name == "tokenizer_default":
        return Aside("default", "the tokenizer's own template is taken")
    if name.startswith("tokenizer_default_fallback_"):
        return Aside(
            "not_needed", "the tokenizer's own template is taken, and a tokenizer without one is refused"
        )
    if name == "jinja":
        return Aside("not_needed", "chat_template_jinja says it")
    return Aside(
        "unsupported",
        "the tokenizer's own template is taken: give another as a file with model.template, and look with"
        " `tunewright data preview`",
    )


def jinja_template(value: Any, given: Given) -> Any:  # noqa: ANN401
    """Take a template that lies in a file."""
    if not isinstance(value, str):
        raise UnfitError("a file, or a template")
    is_name = "\n" not in value and "{" not in value and bool(value.strip())
    if is_name and (
        value.endswith((".jinja", ".jinja2", ".j2")) or (given.file.parent / Path(value)).is_file()
    ):
        return value.strip()
    return Aside("unsupported", "save it to a file, and name that as model.template")


EACH: Table = joined(
    {
        "path": take("data.source", data_path),
        "data_files": judge(data_files),
        "name": take("data.hub_config", text),
        "split": take("data.hub_split", split),
        "revision": take("data.revision", text),
        "type": judge(kind, below=CONVERT),
        "field_messages": column("messages", "conversations"),
        "field": column("text"),
        "field_tools": column("tools"),
        "field_thinking": column("reasoning_content"),
        "field_human": column("instruction", "question"),
        "field_model": column("output", "answer"),
        "message_field_role": column("role", "from"),
        "message_field_content": column("content", "value"),
        "message_field_training": column("weight"),
        "message_property_mappings.role": column("role", "from"),
        "message_property_mappings.content": column("content", "value"),
        "roles_to_train": judge(trained_roles),
        "train_on_eos": judge(
            fixed(("turn",), "the stop token of each turn that is learned carries loss: leave it out")
        ),
        "chat_template": judge(named_template),
        "chat_template_jinja": take("model.template", jinja_template),
        "type.field_system": column("system"),
        "type.field_instruction": column("instruction"),
        "type.field_input": column("input"),
        "type.field_output": column("output"),
        "type.field_prompt": column("prompt"),
        "type.field_chosen": column("chosen"),
        "type.field_rejected": column("rejected"),
        "type.field_completion": column("completion"),
        "type.field_label": column("label"),
    },
    not_needed(FOUND, "ds_type preprocess_shards"),
    not_needed("no code of a data set is run", "trust_remote_code"),
    unsupported(
        CONVERT,
        "message_property_mappings roles input_transform input_format conversation message_field_training_detail"
        " template_thinking_key split_thinking drop_system_message logprobs_field temperature step_separator"
        " max_completion_length train_on_last_step_only type.system_prompt type.system_format type.format"
        " type.no_input_format type.prompt_format type.chosen_format type.rejected_format type.completion_format",
    ),
    unsupported("take a part with data.max_rows", "shards shards_idx"),
)

DATA: Table = joined(
    {f"datasets[].{key}": rule for key, rule in EACH.items()},
    unsupported("tunewright splits validation and test rows off the source: leave them out", "test_datasets"),
    {
        "pretraining_dataset": judge(pretraining),
        "pretraining_dataset[].path": judge(pretraining),
        "pretraining_dataset[].name": EACH["name"],
        "pretraining_dataset[].split": EACH["split"],
        "pretraining_dataset[].type": judge(fixed(("pretrain", "completion"), CONVERT)),
        "pretraining_dataset[].text_column": column("text"),
        "pretraining_dataset[].trust_remote_code": EACH["trust_remote_code"],
        "pretraining_dataset[].data_files": EACH["data_files"],
    },
    unsupported("take a part with data.max_rows", "pretraining_dataset[].skip"),
)
