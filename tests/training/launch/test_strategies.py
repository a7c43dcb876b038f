"""The packaged configurations are ones that their libraries take, and hold what the strategy promises."""

from __future__ import annotations

import importlib.util
from dataclasses import fields

import pytest

from tunewright.support.errors import InputError
from tunewright.training.launch.strategies import (
    CUTTING_WEIGHTS,
    DEEPSPEED,
    STRATEGIES,
    accelerator_options,
    configuration,
    strategy_of,
)

HAS_DEEPSPEED = importlib.util.find_spec("deepspeed") is not None
NEEDS_DEEPSPEED = pytest.mark.skipif(
    not HAS_DEEPSPEED, reason="DeepSpeed isn't installed (pip install deepspeed)"
)


def test_every_strategy_of_the_recipe_has_a_configuration(story_recipe):
    from typing import get_args

    from tunewright.config.schema import TrainingConfig

    offered = get_args(TrainingConfig.model_fields["strategy"].annotation)
    assert set(offered) == {"auto", *STRATEGIES}
    assert all(configuration(strategy) for strategy in STRATEGIES)
    assert strategy_of(story_recipe()) == "ddp"


def test_accelerate_takes_ddp_as_it_is_written():
    from accelerate.utils import DistributedDataParallelKwargs

    (handler,) = accelerator_options("ddp")["kwargs_handlers"]
    assert isinstance(handler, DistributedDataParallelKwargs)
    for name, value in configuration("ddp").items():
        assert getattr(handler, name) == value


def test_accelerate_takes_fsdp2_as_it_is_written():
    from accelerate.utils import FullyShardedDataParallelPlugin

    known = {field.name for field in fields(FullyShardedDataParallelPlugin)}
    assert set(configuration("fsdp2")) <= known
    plugin = accelerator_options("fsdp2")["fsdp_plugin"]
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True


@pytest.mark.parametrize("strategy", sorted(DEEPSPEED))
def test_zero_takes_sizes_and_precision_from_the_recipe(strategy):
    config = configuration(strategy)
    assert config["zero_optimization"]["stage"] == int(strategy[-1])
    from_recipe = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
    assert {config[name] for name in (*from_recipe, "gradient_clipping")} == {"auto"}
    assert {config[name]["enabled"] for name in ("bf16", "fp16")} == {"auto"}


@NEEDS_DEEPSPEED
@pytest.mark.parametrize("strategy", sorted(DEEPSPEED))
def test_transformers_fills_in_what_deepspeed_is_to_take_from_the_recipe(strategy, tmp_path):
    from accelerate.utils.deepspeed import HfDeepSpeedConfig
    from transformers import TrainingArguments
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    written = configuration(strategy)
    assert HfDeepSpeedConfig(written).is_zero3() == (strategy == "zero3")
    config = HfTrainerDeepSpeedConfig(written)
    arguments = TrainingArguments(
        output_dir=str(tmp_path), per_device_train_batch_size=3, gradient_accumulation_steps=4,
        max_grad_norm=0.5, use_cpu=True, bf16=True, report_to="none",
    )  # fmt: skip
    config.trainer_config_process(arguments)
    filled = config.config
    assert (filled["train_micro_batch_size_per_gpu"], filled["gradient_accumulation_steps"]) == (3, 4)
    assert (filled["gradient_clipping"], filled["bf16"]["enabled"]) == (0.5, True)
    assert filled["zero_optimization"]["stage"] == int(strategy[-1])
    assert configuration(strategy)["train_batch_size"] == "auto", "what is packaged stays as it is"


@NEEDS_DEEPSPEED
@pytest.mark.parametrize("strategy", sorted(DEEPSPEED))
def test_deepspeed_takes_its_configurations(strategy, monkeypatch):
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    from deepspeed.runtime.config import DeepSpeedConfig

    # Numbers for what is filled in from the recipe and the model.
    auto = {"gradient_clipping": 1.0, "train_batch_size": 1}
    config = {
        name: auto.get(name, 1) if value == "auto" else value
        for name, value in configuration(strategy).items()
    }
    for part in ("bf16", "fp16"):
        config[part] = {"enabled": False}
    config["zero_optimization"] = {
        name: 1000 if value == "auto" else value for name, value in config["zero_optimization"].items()
    }
    read = DeepSpeedConfig(config)
    assert read.zero_optimization_stage == int(strategy[-1])
    fields_of_zero = type(read.zero_config).model_fields
    known = set(fields_of_zero) | {field.alias for field in fields_of_zero.values()}
    assert set(config["zero_optimization"]) <= known


@pytest.mark.skipif(HAS_DEEPSPEED, reason="DeepSpeed is installed")
@pytest.mark.parametrize("strategy", sorted(DEEPSPEED))
def test_a_missing_deepspeed_is_said_before_anything_starts(story_recipe, strategy):
    with pytest.raises(InputError, match=f"training.strategy={strategy}.*pip install deepspeed"):
        strategy_of(story_recipe(strategy=strategy, devices=2))


@pytest.mark.parametrize("strategy", sorted(CUTTING_WEIGHTS - DEEPSPEED))
def test_weights_of_few_bits_are_not_cut(story_recipe, strategy):
    with pytest.raises(InputError, match="few bits"):
        strategy_of(story_recipe(strategy=strategy, devices=2, method="qlora"))
