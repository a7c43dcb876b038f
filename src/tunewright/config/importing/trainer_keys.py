"""Keys of Transformers' ``TrainingArguments``, which TRL and LLaMA-Factory share; checked against release 5.23."""

from __future__ import annotations

from tunewright.config.importing.rules import Aside, Table, joined, judge, not_needed, take, unsupported
from tunewright.config.importing.trainer_values import (
    bf16,
    cpu,
    deepspeed,
    fp16,
    fsdp,
    gradient_norm,
    max_steps,
    optimizer,
    save_steps,
    schedule,
    warmup_ratio,
    warmup_steps,
    zero_stage,
)
from tunewright.config.importing.values import as_flag, choice, number, on_off, whole, whole_or_aside

LARGEST_SEED = 2**32 - 1
ONLY_TRACKED = "runs and models go to MLflow"
ONLY_LOGGED = "tunewright writes its own log"
CHECKED = "tunewright checks by itself, after every epoch"
PLACED = "where a run's files lie is settled in the project"
LOGGED = whole_or_aside(Aside("not_needed", "a share of the steps: tunewright writes every ten"))
SAMPLING = {
    "random": "random",
    "group_by_length": "length_grouped",
    "sequential": Aside("unsupported", "rows come in random order, or of similar length"),
}

TAKEN: Table = {
    "learning_rate": take("training.learning_rate", number(above=0)),
    "num_train_epochs": take("training.epochs", number(above=0)),
    "per_device_train_batch_size": take("training.batch_size", whole()),
    "gradient_accumulation_steps": take("training.gradient_accumulation_steps", whole()),
    "lr_scheduler_type": take("training.schedule", schedule),
    "warmup_steps": judge(warmup_steps("lr_scheduler_type")),
    "warmup_ratio": take("training.warmup_share", warmup_ratio("lr_scheduler_type")),
    "weight_decay": take("training.weight_decay", number(least=0)),
    "max_grad_norm": take("training.max_grad_norm", gradient_norm),
    "bf16": take("training.precision", bf16),
    "fp16": take("training.precision", fp16),
    "activation_checkpointing": take("training.gradient_checkpointing", on_off),
    "neftune_noise_alpha": take("training.neftune_alpha", number(above=0)),
    "seed": take("seed", whole(least=0, most=LARGEST_SEED)),
    "logging_steps": take("training.logging_steps", LOGGED),
    "save_steps": take("training.checkpoint_steps", save_steps),
    "save_total_limit": take("training.keep_checkpoints", whole()),
    "train_sampling_strategy": take("training.batching", choice(SAMPLING)),
    "group_by_length": take(
        "training.batching", lambda value, _given: "length_grouped" if as_flag(value) else "random"
    ),
    "use_cpu": take("training.device", cpu),
    "no_cuda": take("training.device", cpu),
    "optim": judge(optimizer),
    "max_steps": judge(max_steps),
    "deepspeed": judge(deepspeed, below="tunewright writes DeepSpeed's settings itself"),
    "deepspeed.zero_optimization.stage": judge(zero_stage),
    "fsdp": judge(fsdp),
}

ASIDE: Table = joined(
    not_needed(PLACED, "output_dir overwrite_output_dir logging_dir run_name resume_from_checkpoint"),
    not_needed(
        ONLY_TRACKED,
        "report_to project trackio_space_id trackio_bucket_id trackio_static_space_id",
    ),
    not_needed(
        ONLY_LOGGED,
        "logging_strategy logging_first_step log_on_each_node logging_nan_inf_filter log_level log_level_replica"
        " disable_tqdm include_num_input_tokens_seen include_tokens_per_second skip_memory_metrics debug",
    ),
    not_needed(
        CHECKED,
        "eval_strategy evaluation_strategy eval_steps eval_delay eval_on_start per_device_eval_batch_size"
        " per_gpu_eval_batch_size prediction_loss_only eval_do_concat_batches eval_use_gather_object"
        " eval_accumulation_steps include_for_metrics include_inputs_for_metrics batch_eval_metrics bf16_full_eval"
        " fp16_full_eval label_names do_train do_eval do_predict",
    ),
    not_needed(
        "checkpoints are written by steps, and a run that was killed goes on from the last",
        "save_strategy save_only_model save_on_each_node save_safetensors enable_jit_checkpoint ignore_data_skip"
        " restore_callback_states_from_checkpoint",
    ),
    not_needed(
        "what is kept of a run is settled by its validation, and what replaces the champion by the gate",
        "load_best_model_at_end metric_for_best_model greater_is_better",
    ),
    not_needed(
        "tunewright reads, groups and pads rows itself",
        "dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor"
        " dataloader_multiprocessing_context dataloader_in_order remove_unused_columns length_column_name",
    ),
    not_needed(
        "tunewright starts and joins the processes itself",
        "local_rank ddp_backend ddp_timeout ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers"
        " ddp_static_graph accelerator_config average_tokens_across_devices use_mps_device half_precision_backend",
    ),
    not_needed("tunewright forecasts memory before training", "torch_empty_cache_steps auto_find_batch_size"),
    not_needed("off while training", "use_cache"),
    not_needed(
        "with training.gradient_checkpointing",
        "gradient_checkpointing_kwargs activation_checkpointing_kwargs",
    ),
    not_needed("follows training.precision", "tf32"),
    not_needed("a run is repeatable from its seed", "full_determinism data_seed"),
    unsupported("set training.strategy=fsdp2 and training.devices", "fsdp_config parallelism_config"),
    unsupported(
        "AdamW's own values are taken: choose training.learning_rate and training.weight_decay",
        {"adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-8},
    ),
    unsupported("AdamW over all trained weights is taken: leave it out", "optim_args optim_target_modules"),
    unsupported("choose among the courses of training.schedule", "lr_scheduler_kwargs"),
    unsupported("the loss is taken without smoothing", {"label_smoothing_factor": 0}),
    unsupported("all batches are used: leave it out", "dataloader_drop_last"),
    unsupported(
        "leave it out: the model runs as Transformers has it",
        {
            "torch_compile": False,
            "torch_compile_backend": None,
            "torch_compile_mode": None,
            "use_liger_kernel": False,
            "liger_kernel_config": None,
        },
    ),
    unsupported(
        "tunewright publishes nothing: models lie in the registry", "push_to_hub hub_model_id hub_revision"
    ),
    not_needed(
        "tunewright publishes nothing; a token belongs in the environment (HF_TOKEN)",
        "hub_token hub_private_repo hub_strategy hub_always_push",
    ),
)

TRAINER: Table = joined(TAKEN, ASIDE)
