"""TRL's files as recipes: YAML of its commands, and dumps of its configurations."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tunewright.config.importing.converting import tools
from tunewright.support.errors import InputError

SFT = """
model_name_or_path: Qwen/Qwen2-0.5B
dataset_name: data/chats.jsonl
dtype: bfloat16
use_peft: true
load_in_4bit: true
lora_r: 32
lora_alpha: 16
lora_target_modules: all-linear
learning_rate: 2.0e-4
num_train_epochs: 1
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
gradient_checkpointing: true
assistant_only_loss: true
packing: true
max_length: 2048
lr_scheduler_type: cosine
warmup_steps: 0.03
eval_strategy: steps
eval_steps: 100
output_dir: Qwen2-0.5B-SFT
push_to_hub: true
report_to: [trackio]
"""


def test_an_sft_file_trains_the_same(imported):
    found = imported("trl", SFT)
    assert found.groups["training"] == "sft"
    assert found.values == {
        "data.source": "data/chats.jsonl",
        "model.name": "Qwen/Qwen2-0.5B",
        "model.max_length": 2048,
        "training.method": "qlora",
        "training.loss_on": "assistant",
        "training.packing": "on",
        "training.gradient_checkpointing": "on",
        "training.epochs": 1.0,
        "training.batch_size": 2,
        "training.warmup_share": 0.03,
        "training.gradient_accumulation_steps": 8,
        "training.weight_decay": 0.0,
        "training.lora.r": 32,
        "training.lora.alpha": 16,
    }
    by_key = {each.key: each.outcome for each in found.findings}
    assert (by_key["push_to_hub"], by_key["eval_steps"], by_key["dtype"]) == (
        "unsupported",
        "not_needed",
        "not_needed",
    )


@pytest.mark.parametrize(
    ("words", "objective"),
    [
        ({"assistant_only_loss": True}, "sft"),
        ({"loss_type": ["sigmoid"]}, "dpo"),
        ({"loss_type": "ipo", "beta": 0.2}, "dpo"),
        ({"desirable_weight": 1.5}, "kto"),
        ({"center_rewards_coefficient": 0.01}, "reward"),
        ({"num_generations": 8, "beta": 0.04}, "grpo"),
    ],
)
def test_the_trainer_is_found_by_its_own_keys(imported, words, objective):
    assert imported("trl", {"learning_rate": 1e-6, **words}).groups["training"] == objective


@pytest.mark.parametrize("words", [{"beta": 0.1}, {"packing": True, "desirable_weight": 1.0}])
def test_a_file_of_any_trainer_asks_for_the_objective(imported, words):
    with pytest.raises(InputError, match="--objective"):
        imported("trl", words)
    assert imported("trl", words, objective="orpo").groups["training"] == "orpo"


def test_beta_means_what_the_trainer_means_by_it(imported):
    preference = imported("trl", {"beta": 0.3}, objective="dpo").values
    rewards = imported("trl", {"beta": 0.3, "per_device_train_batch_size": 16}, objective="grpo").values
    assert preference["training.preference.beta"] == rewards["training.grpo.beta"] == 0.3
    assert rewards["training.batch_size"] == 2, "TRL counts answers, eight a prompt"


CONFIGURATIONS = {
    "sft": "trl/trainer/sft_config.py",
    "dpo": "trl/trainer/dpo_config.py",
    "kto": "trl/trainer/kto_config.py",
    "grpo": "trl/trainer/grpo_config.py",
    "reward": "trl/trainer/reward_config.py",
    "orpo": "trl/experimental/orpo/orpo_config.py",
}
COMMON = ("transformers/training_args.py", "trl/trainer/base_config.py")
ARGUMENTS = ("trl/trainer/model_config.py", "trl/scripts/utils.py", "trl/scripts/grpo.py")
"""What a command's file holds beside its trainer's configuration."""


def fields_in(file: str) -> dict[str, Any]:
    """Read the fields of a library's dataclasses, with their defaults, from its source: importing it takes long."""
    package, _, path = file.partition("/")
    spec = importlib.util.find_spec(package)
    tree = ast.parse((Path(spec.submodule_search_locations[0]) / path).read_text(encoding="utf-8"))
    found = {}
    for node in (each for each in tree.body if isinstance(each, ast.ClassDef)):
        if "Parser" in node.name or node.name == "DatasetConfig":
            continue
        for each in node.body:
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                found[each.target.id] = default_of(each.value)
    return found


def default_of(node: ast.expr | None) -> Any:
    """Return a field's default where it is written down as a literal."""
    for keyword in getattr(node, "keywords", []):
        if keyword.arg == "default":
            try:
                return ast.literal_eval(keyword.value)
            except ValueError:
                return None
    return None


@pytest.fixture(scope="module")
def dumps(require) -> dict[str, dict[str, Any]]:
    """Every key of each trainer's configuration with its default, as the installed release has them."""
    require(importlib.util.find_spec("trl") is not None, "TRL is not installed")
    common = {name: value for file in COMMON for name, value in fields_in(file).items()}
    common |= {"output_dir": "o", "optim": "adamw_torch_fused", "report_to": "none"}
    return {name: {**common, **fields_in(file)} for name, file in CONFIGURATIONS.items()}


def test_every_key_of_the_installed_release_is_known(dumps):
    keys = {key for dump in dumps.values() for key in dump} | {
        key for file in ARGUMENTS for key in fields_in(file)
    }
    assert {"learning_rate", "lora_r", "dataset_name", "reward_funcs", "packing", "ld_alpha"} <= keys
    containers = {"datasets"}
    assert keys - set(tools()["trl"].table) - containers - {"_VALID_DICT_FIELDS"} == set()


@pytest.mark.parametrize("objective", CONFIGURATIONS)
def test_a_dump_of_its_defaults_is_accounted_for(imported, dumps, objective):
    found = imported("trl", dumps[objective], name="training_args.json", objective=objective)
    by_key = {each.key: each.outcome for each in found.findings}
    assert "unknown" not in by_key.values()
    assert {key.partition(".")[0] for key in by_key} == set(dumps[objective])
    unsupported = {key for key, outcome in by_key.items() if outcome == "unsupported"}
    assert unsupported <= {"disable_dropout", "train_sampling_strategy"} | (
        {"loss_type"} if objective == "grpo" else set()
    )


@pytest.mark.parametrize("objective", CONFIGURATIONS)
def test_what_is_assumed_is_what_the_installed_release_does(imported, dumps, objective):
    """The defaults that a short file leaves out are those of a dump that has them all."""
    full = imported("trl", dumps[objective], name="full.json", objective=objective).values
    short = imported("trl", {"output_dir": "o"}, name="short.json", objective=objective)
    told = {each.target: each.value for each in short.assumptions if each.target != "training.batch_size"}
    assert "training.epochs" in told
    assert {key: full.get(key) for key in told} == told
