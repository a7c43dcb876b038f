"""LLaMA-Factory's files as recipes."""

from __future__ import annotations

import json

import pytest

from tunewright.support.errors import InputError

DPO = """
### model
model_name_or_path: Qwen/Qwen2.5-0.5B-Instruct
quantization_bit: 4
### method
stage: dpo
do_train: true
finetuning_type: lora
lora_rank: 32
lora_target: q_proj,v_proj
pref_beta: 0.2
pref_loss: hinge
deepspeed: examples/deepspeed/ds_z3_config.json
### dataset
dataset: pairs,others
dataset_dir: sets
template: qwen
cutoff_len: 1024
max_samples: 1000
overwrite_cache: true
### output
output_dir: saves/qwen
logging_steps: 20
save_steps: 500
plot_loss: true
report_to: none
### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 5.0e-6
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
resume_from_checkpoint: null
### eval
val_size: 0.1
eval_strategy: steps
"""
PAIRS = {
    "file_name": "pairs.json",
    "formatting": "sharegpt",
    "ranking": True,
    "columns": {"messages": "conversations", "chosen": "good", "rejected": "rejected"},
}


@pytest.fixture
def described(tmp_path):
    """Describe data sets in ``dataset_info.json``, beside the configuration."""

    def call(**sets):
        (tmp_path / "sets").mkdir(exist_ok=True)
        (tmp_path / "sets" / "dataset_info.json").write_text(json.dumps(sets))

    return call


def test_a_dpo_file_trains_the_same(imported, described, tmp_path):
    described(pairs=PAIRS)
    found = imported("llamafactory", DPO)
    assert found.groups["training"] == "dpo"
    assert found.values == {
        "data.source": str(tmp_path / "sets" / "pairs.json"),
        "data.chat_format": "preference",
        "data.max_rows": 1000,
        "model.name": "Qwen/Qwen2.5-0.5B-Instruct",
        "model.max_length": 1024,
        "training.method": "qlora",
        "training.gradient_checkpointing": "on",
        "training.epochs": 3.0,
        "training.batch_size": 1,
        "training.learning_rate": 5e-6,
        "training.gradient_accumulation_steps": 8,
        "training.weight_decay": 0.0,
        "training.precision": "bf16",
        "training.logging_steps": 20,
        "training.checkpoint_steps": 500,
        "training.strategy": "zero3",
        "training.lora.r": 32,
        "training.lora.alpha": 64,
        "training.lora.dropout": 0.0,
        "training.lora.target_modules": ["q_proj", "v_proj"],
        "training.preference.beta": 0.2,
        "training.preference.loss": "hinge",
    }
    assert {each.target for each in found.assumptions} == {
        "training.gradient_checkpointing", "training.weight_decay", "training.lora.alpha", "training.lora.dropout",
    }  # fmt: skip
    [dataset] = [each for each in found.findings if each.key == "dataset"]
    assert "'good' to 'chosen'" in dataset.note
    assert "others" in dataset.note


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ({"file_name": "a.json"}, {"data.chat_format": "alpaca"}),
        ({"file_name": "a.json", "columns": {"prompt": "text"}}, {"data.chat_format": "text"}),
        ({"file_name": "a.json", "formatting": "sharegpt"}, {"data.chat_format": "sharegpt"}),
        (
            {"file_name": "a.json", "formatting": "sharegpt", "tags": {"role_tag": "role"}},
            {"data.chat_format": "messages"},
        ),
        ({"file_name": "a.json", "columns": {"kto_tag": "label"}}, {"data.chat_format": "kto"}),
        (
            {"hf_hub_url": "org/set", "subset": "en", "split": "valid"},
            {"data.source": "org/set", "data.hub_config": "en", "data.hub_split": "valid"},
        ),
    ],
)
def test_a_described_data_set_says_where_and_in_which_format(imported, described, description, expected):
    described(mine=description)
    values = imported("llamafactory", {"dataset": "mine", "dataset_dir": "sets"}).values
    assert {key: values[key] for key in expected} == expected


def test_a_data_set_that_nothing_describes_says_what_to_do(imported):
    found = imported("llamafactory", {"dataset": "mine", "dataset_dir": "sets"})
    [dataset] = [each for each in found.findings if each.key == "dataset"]
    assert dataset.outcome == "unsupported"
    assert "data.source" in dataset.note


def test_a_data_set_that_the_description_lacks_is_refused(imported, described):
    described(pairs=PAIRS)
    with pytest.raises(
        InputError, match=r"dataset = 'pears': expected a name that .*dataset_info\.json describes"
    ):
        imported("llamafactory", {"dataset": "pears", "dataset_dir": "sets"})


@pytest.mark.parametrize(
    ("words", "training", "expected"),
    [
        ({"stage": "pt"}, "pretrain", {"training.packing": "on", "training.method": "lora"}),
        ({"stage": "rm"}, "reward", {"training.learning_rate": 5e-5}),
        ({"stage": "dpo", "pref_loss": "orpo"}, "orpo", {}),
        ({"stage": "kto", "kto_chosen_weight": 2}, "kto", {"training.preference.desirable_weight": 2.0}),
        ({}, "sft", {"model.max_length": 2048, "training.lora.r": 8, "training.packing": "off"}),
        ({"neat_packing": True, "packing": False}, "sft", {"training.packing": "on"}),
        ({"mask_history": True}, "sft", {"training.loss_on": "completion"}),
        ({"use_dora": True, "quantization_bit": 4}, "sft", {"training.method": "dora", "model.load_in": "4bit"}),
        ({"finetuning_type": "full"}, "sft", {"training.method": "full"}),
        ({"pure_bf16": True}, "sft", {"training.precision": "bf16"}),
        ({"disable_gradient_checkpointing": True}, "sft", {"training.gradient_checkpointing": "off"}),
    ],
)  # fmt: skip
def test_stages_and_methods(imported, words, training, expected):
    found = imported("llamafactory", {"model_name_or_path": "m", **words}, name="theirs.json")
    assert found.groups["training"] == training
    assert {key: found.values.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"stage": "ppo"}, "stage = 'ppo' has no counterpart"),
        ({"stage": "dpo", "pref_loss": "simpo"}, "pref_loss = 'simpo' has no counterpart"),
        ({"cutoff_len": "long"}, "cutoff_len = 'long': expected a whole number from 8"),
        ({"lora_dropout": 2}, "lora_dropout = 2: expected a number from 0 to 1"),
        ({"warmup_ratio": 3}, "warmup_ratio = 3"),
        ({"lora_target": 3}, "lora_target = 3: expected a list of names"),
    ],
)
def test_what_has_no_counterpart_or_no_sense_is_refused(imported, words, says):
    with pytest.raises(InputError) as caught:
        imported("llamafactory", words)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
