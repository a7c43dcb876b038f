"""Keys of Axolotl that give a recipe nothing, and why; checked against the schemas in its public source."""

from __future__ import annotations

from tunewright.config.importing.rules import Table, joined, not_needed, unsupported
from tunewright.config.importing.trainer_keys import CHECKED, ONLY_TRACKED, TRAINER

SHARED = (
    "learning_rate gradient_accumulation_steps weight_decay max_grad_norm bf16 fp16 tf32 neftune_noise_alpha seed"
    " logging_steps save_steps save_total_limit group_by_length max_steps deepspeed"
    " deepspeed.zero_optimization.stage fsdp fsdp_config adam_beta1 adam_beta2 adam_epsilon optim_args"
    " optim_target_modules lr_scheduler_kwargs output_dir resume_from_checkpoint eval_strategy evaluation_strategy"
    " eval_steps save_strategy save_only_model save_safetensors load_best_model_at_end metric_for_best_model"
    " greater_is_better hub_model_id hub_strategy hub_revision dataloader_num_workers dataloader_pin_memory"
    " dataloader_prefetch_factor dataloader_drop_last remove_unused_columns accelerator_config local_rank"
    " ddp_timeout ddp_bucket_cap_mb ddp_broadcast_buffers ddp_find_unused_parameters auto_find_batch_size"
    " gradient_checkpointing_kwargs torch_compile torch_compile_backend torch_compile_mode"
    " include_tokens_per_second"
)
"""Keys that Axolotl spells and means as Transformers' trainer does."""

ASIDE: Table = joined(
    {key: TRAINER[key] for key in SHARED.split()},
    not_needed(
        "attention is chosen for the device",
        "flash_attention flash_attn_cross_entropy flash_attn_rms_norm flash_attn_fuse_qkv flash_attn_fuse_mlp"
        " flash_optimum xformers_attention sdp_attention eager_attention flex_attention flex_attn_compile_kwargs"
        " attn_implementation",
    ),
    not_needed(
        "rows are padded to their batch or packed, apart from each other",
        "pad_to_sequence_len eval_sample_packing sample_packing_group_size sample_packing_bin_size"
        " sample_packing_sequentially multipack_real_batches pretrain_multipack_buffer_size pretrain_multipack_attn"
        " pretraining_sample_concatenation batch_flattening",
    ),
    not_needed(
        ONLY_TRACKED,
        "use_wandb wandb_project wandb_entity wandb_watch wandb_name wandb_run_id wandb_mode wandb_log_model"
        " use_mlflow mlflow_tracking_uri mlflow_experiment_name mlflow_run_name hf_mlflow_log_artifacts"
        " use_comet comet_api_key comet_workspace comet_project_name comet_experiment_key comet_mode comet_online"
        " comet_experiment_config use_tensorboard profiler_steps",
    ),
    not_needed(
        CHECKED,
        "evals_per_epoch saves_per_epoch eval_batch_size eval_table_size eval_max_new_tokens do_causal_lm_eval"
        " eval_causal_lm_metrics do_bench_eval bench_dataset bench_split generate_samples num_generation_samples"
        " generation_max_new_tokens",
    ),
    not_needed(
        "the class is read from the model's own files",
        "model_type tokenizer_type processor_type type_of_model is_falcon_derived_model is_llama_derived_model"
        " is_mistral_derived_model is_qwen_derived_model tokenizer_use_fast tokenizer_legacy tokenizer_config"
        " base_model_config cls_model_config tokenizer_save_jinja_files",
    ),
    not_needed(
        "tunewright prepares, caches and shuffles rows itself",
        "dataset_prepared_path dataset_processes dataset_num_proc dataset_keep_in_memory shuffle_merged_datasets"
        " skip_prepare_dataset dataset_exact_deduplication push_dataset_to_hub is_preprocess preprocess_iterable",
    ),
    not_needed(
        "tunewright places the model itself",
        "device device_map world_size ddp max_memory gpu_memory_limit low_cpu_mem_usage lora_on_cpu gc_steps"
        " experimental_skip_move_to_device auto_resume_from_checkpoints fsdp_final_state_dict_type",
    ),
    not_needed("a loss that diverges ends the run", "loss_watchdog_threshold loss_watchdog_patience"),
    not_needed("every key of a recipe is checked", "strict axolotl_config_path"),
    not_needed("a token belongs in the environment (HF_TOKEN)", "hf_use_auth_token"),
    not_needed("follows from the layers", "lora_fan_in_fan_out"),
    not_needed("the padding token is chosen so that it never ends an answer", "special_tokens.pad_token"),
    unsupported(
        "tokens come from the model's tokenizer: save one with them, and name its folder as model.name",
        "special_tokens tokens added_tokens_overrides eot_tokens resize_token_embeddings_to_32x"
        " mean_resizing_embeddings shrink_embeddings fix_untrained_tokens embeddings_skip_upcast"
        " tokenizer_use_mistral_common",
    ),
    unsupported(
        "adapters are plain, on linear layers alone: leave it out",
        "lora_modules_to_save lora_target_parameters peft_layers_to_transform peft_layers_pattern peft_use_rslora"
        " peft_layer_replication peft_init_lora_weights peft_trainable_token_indices loftq_config peft"
        " peft_ensure_weight_tying peft_autocast_adapter_dtype relora relora_steps relora_warmup_steps"
        " relora_anneal_steps relora_prune_ratio relora_prune_method relora_cpu_offload"
        " jagged_restart_steps jagged_restart_warmup_steps jagged_restart_anneal_steps loraplus_lr_ratio"
        " loraplus_lr_embedding unfrozen_parameters lisa_n_layers lisa_step_interval lisa_layers_attribute",
    ),
    unsupported("start from a merged model: give its folder as model.name", "lora_model_dir"),
    not_needed("merging is a step of its own, after training", "merge_lora merge_method"),
    unsupported(
        "a base in 4 bits is held as NF4, with double quantisation, by bitsandbytes",
        "gptq bnb_config_kwargs qlora_sharded_model_loading model_quantization_config"
        " model_quantization_config_kwargs qat quantization llm_int8_has_fp16_weight",
    ),
    unsupported("choose training.precision: fp32, bf16 or fp16", "fp8 fp8_config float32"),
    unsupported(
        "choose among the courses of training.schedule",
        "cosine_min_lr_ratio cosine_constant_lr_ratio lr_quadratic_warmup lr_div_factor",
    ),
    unsupported(
        "one learning rate for all: choose training.learning_rate",
        "lr_groups embedding_lr embedding_lr_scale",
    ),
    unsupported("AdamW's own values are taken", "adam_beta3 adam_epsilon2 torchdistx_path"),
    unsupported(
        "leave it out: rows are read whole, and cut at model.max_length",
        "use_pose pose_split_on_token_ids pose_max_context_len pose_num_chunks max_prompt_len min_sample_len"
        " excess_length_strategy max_packed_sequence_len curriculum_sampling streaming streaming_multipack_buffer_size",
    ),
    unsupported("take a part with data.max_rows", "dataset_shard_num dataset_shard_idx"),
    unsupported(
        "one device holds a whole sequence: shorten model.max_length",
        "sequence_parallel_degree context_parallel_size heads_k_stride ring_attn_func tensor_parallel_size"
        " dp_shard_size dp_replicate_size s2_attention",
    ),
    unsupported(
        "leave it out: the model runs as Transformers has it",
        "unsloth_cross_entropy_loss unsloth_lora_mlp unsloth_lora_qkv unsloth_lora_o unsloth_rms_norm unsloth_rope"
        " lora_mlp_kernel lora_qkv_kernel lora_o_kernel llama4_linearized_experts use_kernels plugins liger_rope"
        " liger_rms_norm liger_glu_activation liger_layer_norm liger_fused_linear_cross_entropy cut_cross_entropy"
        " model_config overrides_of_model_config model_kwargs overrides_of_model_kwargs rope_scaling",
    ),
    unsupported(
        "DPO is taken with its plain loss: choose training.preference.loss",
        "dpo_use_weighting dpo_use_logits_to_keep dpo_label_smoothing dpo_norm_loss dpo_padding_free"
        " dpo_generate_during_eval rpo_alpha simpo_gamma cpo_alpha",
    ),
    unsupported("choose training.objective=reward", "process_reward_model num_labels"),
    unsupported(
        "choose training.grpo.rewards: programs of your own can't be named",
        "trl.reward_funcs trl.reward_weights",
    ),
    unsupported("GRPO samples with training.grpo.temperature alone", "trl vllm"),
    unsupported("images and sound are not read", "image_size image_resize_algorithm"),
    unsupported(
        "tunewright starts its processes itself", "use_ray ray_run_name ray_num_workers resources_per_worker"
    ),
    not_needed(
        "`tunewright ask` talks to a model",
        "gradio_title gradio_share gradio_server_name gradio_server_port"
        " gradio_max_new_tokens gradio_temperature",
    ),
    not_needed("counted by tunewright", "total_num_tokens total_supervised_tokens sample_packing_eff_est"),
)
