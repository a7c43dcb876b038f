"""Axolotl's files as recipes: what a user finds in the recipe, and what they are told of the rest."""

from __future__ import annotations

import pytest

from tunewright.support.errors import InputError

QLORA = """
base_model: NousResearch/Llama-3.2-1B
load_in_8bit: false
load_in_4bit: true
strict: false
datasets:
  - path: data/support.jsonl
    type: chat_template
    field_messages: conversations
    message_property_mappings: {role: from, content: value}
    roles_to_train: [assistant]
    train_on_eos: turn
  - path: data/more.jsonl
    type: chat_template
dataset_prepared_path: last_run_prepared
val_set_size: 0.05
output_dir: ./outputs/qlora
adapter: qlora
lora_model_dir:
lora_r: 32
lora_alpha: 64
lora_dropout: 0.1
lora_target_modules: [q_proj, v_proj]
sequence_len: 4096
sample_packing: true
pad_to_sequence_len: true
wandb_project: shop
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 3
optimizer: adamw_torch
lr_scheduler: constant_with_warmup
learning_rate: 1e-4
train_on_inputs: false
bf16: auto
tf32: true
gradient_checkpointing: offload
logging_steps: 1
flash_attention: true
warmup_ratio: 0.05
weight_decay: 0.01
seed: 7
neftune_noise_alpha: 5
saves_per_epoch: 1
deepspeed: deepspeed_configs/zero2.json
special_tokens:
  pad_token: <|finetune_right_pad_id|>
  eos_token: <|eot_id|>
"""


def test_a_qlora_file_trains_the_same(imported):
    found = imported("axolotl", QLORA)
    assert found.groups == {"data": "chat", "model": "smollm2-135m", "training": "sft"}
    assert found.values == {
        "seed": 7,
        "data.source": "data/support.jsonl",
        "data.chat_format": "sharegpt",
        "data.validation_share": 0.05,
        "model.name": "NousResearch/Llama-3.2-1B",
        "model.max_length": 4096,
        "training.method": "qlora",
        "training.packing": "on",
        "training.neftune_alpha": 5.0,
        "training.gradient_checkpointing": "on",
        "training.epochs": 3.0,
        "training.batch_size": 2,
        "training.learning_rate": 1e-4,
        "training.warmup_share": 0.05,
        "training.schedule": "constant_with_warmup",
        "training.gradient_accumulation_steps": 4,
        "training.logging_steps": 1,
        "training.strategy": "zero2",
        "training.lora.r": 32,
        "training.lora.alpha": 64,
        "training.lora.dropout": 0.1,
        "training.lora.target_modules": ["q_proj", "v_proj"],
    }
    assert found.assumptions == ()


def test_every_key_has_an_outcome_and_a_reason(imported):
    by_key = {each.key: each for each in imported("axolotl", QLORA).findings}
    wanted = {
        "load_in_4bit": "not_needed",
        "datasets[0].path": "taken",
        "datasets[0].message_property_mappings.role": "default",
        "datasets[1].path": "unsupported",
        "optimizer": "default",
        "weight_decay": "default",
        "flash_attention": "not_needed",
        "special_tokens.pad_token": "not_needed",
        "special_tokens.eos_token": "unsupported",
        "lora_model_dir": "default",
    }
    assert {key: by_key[key].outcome for key in wanted} == wanted
    assert all(each.note for each in by_key.values() if each.outcome in ("not_needed", "unsupported"))
    assert "offload" in by_key["gradient_checkpointing"].note


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"adapter": "lora", "peft_use_dora": True}, {"training.method": "dora"}),
        (
            {"adapter": "qlora", "load_in_4bit": True, "peft_use_dora": True},
            {"training.method": "dora", "model.load_in": "4bit"},
        ),
        ({"adapter": "lora", "load_in_8bit": True}, {"model.load_in": "8bit"}),
        ({}, {"training.method": "full", "training.packing": "off", "model.max_length": 512}),
        ({"bf16": False, "fp16": True}, {"training.precision": "fp16"}),
        ({"bf16": False, "fp16": False}, {"training.precision": "fp32"}),
        ({"lr_scheduler": "constant", "warmup_steps": 5}, {"training.warmup_share": 0.0}),
        ({"warmup_steps": 5, "max_steps": 50}, {"training.warmup_share": 0.1}),
        ({"train_on_inputs": True}, {"training.loss_on": "all"}),
        ({"fsdp": ["full_shard", "auto_wrap"]}, {"training.strategy": "fsdp2"}),
        ({"deepspeed": {"zero_optimization": {"stage": 3}}}, {"training.strategy": "zero3"}),
        ({"rl": "ipo", "rl_beta": 0.2}, {"training.preference.loss": "ipo", "training.preference.beta": 0.2}),
        ({"rl": "orpo", "orpo_alpha": 0.3}, {"training.preference.beta": 0.3}),
        (
            {"rl": "grpo", "micro_batch_size": 16, "trl": {"num_generations": 2, "beta": 0.01}},
            {"training.batch_size": 8, "training.grpo.generations": 2, "training.grpo.beta": 0.01},
        ),
    ],
)
def test_single_keys_say_what_they_say_there(imported, words, expected):
    found = imported("axolotl", {"base_model": "m", "learning_rate": 1e-4, **words})
    composed = {**dict.fromkeys(expected), **found.values}
    base = {"training.schedule": "cosine", "training.warmup_share": 0.1}
    assert {
        key: composed[key] if composed[key] is not None else base.get(key) for key in expected
    } == expected


@pytest.mark.parametrize(
    ("words", "objective", "chat_format"),
    [
        ({"datasets": [{"path": "a", "type": "alpaca"}]}, "sft", "alpaca"),
        ({"datasets": [{"path": "a", "type": "completion"}]}, "pretrain", "text"),
        ({"pretraining_dataset": [{"path": "a", "type": "pretrain"}], "max_steps": 9}, "pretrain", "text"),
        ({"pretraining_dataset": "a", "max_steps": 9}, "pretrain", "text"),
        ({"rl": "dpo", "datasets": [{"path": "a", "type": "chatml.intel"}]}, "dpo", "preference"),
        ({"rl": "kto", "datasets": [{"path": "a", "type": "chatml.argilla"}]}, "kto", "kto"),
        ({"reward_model": True, "datasets": [{"path": "a", "type": "bradley_terry.x"}]}, "reward", "preference"),
    ],
)  # fmt: skip
def test_the_objective_and_the_format_of_rows_are_found(imported, words, objective, chat_format):
    found = imported("axolotl", {"base_model": "m", **words})
    assert found.groups["training"] == objective
    assert found.values.get("data.chat_format") == chat_format
    assert found.values["data.source"] == "a"


def test_warm_up_in_steps_says_what_to_do(imported):
    found = imported("axolotl", {"base_model": "m", "warmup_steps": 10})
    [warmup] = [each for each in found.findings if each.key == "warmup_steps"]
    assert warmup.outcome == "unsupported"
    assert "training.warmup_share to 10 / steps" in warmup.note
    assert not any(each.target == "training.warmup_share" for each in found.assumptions)


def test_what_axolotl_does_unasked_is_written_and_told(imported):
    found = imported("axolotl", {"base_model": "m", "learning_rate": 1e-5})
    told = {each.target: each.value for each in found.assumptions}
    assert told["training.batch_size"] == found.values["training.batch_size"] == 1
    assert told["training.epochs"] == 1.0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"learning_rate": "fast"}, "learning_rate = 'fast': expected a number above 0"),
        ({"learning_rate": True}, "learning_rate = True"),
        ({"learning_rate": {"a": 1}}, "learning_rate.a = 1"),
        ({"lora_r": 0}, "lora_r = 0: expected a whole number from 1"),
        ({"lora_r": 8.5}, "lora_r = 8.5"),
        ({"sample_packing": "perhaps"}, "sample_packing = 'perhaps': expected true or false"),
        ({"seed": -1}, "seed = -1"),
        ({"datasets": [{"path": 3}]}, "datasets[0].path = 3: expected text"),
        ({"rl": "simpo"}, "rl = 'simpo' has no counterpart"),
        ({"rl": "dpo", "reward_model": True}, "reward_model asks for training.objective=reward, rl for dpo"),
        ({"val_set_size": -0.1}, "val_set_size = -0.1"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
    ],
)  # fmt: skip
def test_a_value_that_cant_be_converted_is_refused_in_one_line(imported, words, says):
    with pytest.raises(InputError) as caught:
        imported("axolotl", {"base_model": "m", **words})
    line = str(caught.value)
    assert says in line
    assert "theirs.yaml" in line
    assert "; " in line, "says what to do"
    assert "\n" not in line


def test_an_unknown_key_names_the_nearest(imported):
    found = imported("axolotl", {"base_model": "m", "learnin_rate": 1, "datasets": [{"pth": "x"}]})
    notes = {each.key: each.note for each in found.findings if each.outcome == "unknown"}
    assert notes == {
        "learnin_rate": "did you mean 'learning_rate'?",
        "datasets[0].pth": "did you mean 'datasets[].path'?",
    }


def test_secrets_of_the_file_are_in_no_outcome(imported):
    found = imported("axolotl", {"base_model": "m", "comet_api_key": "s3cret", "hf_token": "s3cret"})
    assert "s3cret" not in repr(found)
