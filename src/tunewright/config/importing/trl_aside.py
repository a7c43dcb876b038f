"""Keys of TRL that give a recipe nothing, and why; a test holds them against the installed release."""

from __future__ import annotations

from tunewright.config.importing.rules import Table, joined, not_needed, unsupported

ASIDE: Table = joined(
    not_needed(
        "tunewright keeps validation and test rows apart itself", "dataset_test_split test_split_size"
    ),
    not_needed(
        "rows are prepared, cached and shuffled by tunewright",
        "dataset_num_proc dataset_batch_size shuffle_dataset",
    ),
    not_needed(
        "rows are padded to their batch or packed",
        "pad_to_multiple_of padding_free eval_packing packing_strategy padding_value label_pad_token_id",
    ),
    not_needed("the padding token is chosen so that it never ends an answer", "pad_token"),
    not_needed("attention is chosen for the device", "attn_implementation"),
    not_needed("follows training.precision and model.load_in", "dtype torch_dtype"),
    not_needed("the 4 bits are NF4, with double quantisation", "use_bnb_nested_quant bnb_4bit_quant_storage"),
    not_needed("follows from training.objective", "lora_task_type"),
    not_needed(
        "tunewright computes and keeps what the reference says itself",
        "precompute_ref_log_probs precompute_ref_batch_size",
    ),
    not_needed(
        "tunewright records figures and sample answers itself",
        "log_completions log_multimodal num_completions_to_print log_unique_prompts log_completions_hub_repo"
        " generate_during_eval num_generations_eval",
    ),
    not_needed("the process starts with the environment it is given", "env config ignore_bias_buffers"),
    not_needed("read with training.gradient_checkpointing", "use_reentrant"),
    unsupported("the 4 bits are bitsandbytes' NF4: leave it out", {"bnb_4bit_quant_type": "nf4"}),
    unsupported(
        "adapters are plain, on linear layers alone: leave it out",
        "lora_target_parameters lora_modules_to_save use_rslora",
    ),
    unsupported("rows are read whole: leave it out", "dataset_streaming streaming"),
    unsupported(
        "write the rows in a format that `tunewright data convert` knows",
        "dataset_kwargs datasets[].columns formatting_func",
    ),
    unsupported("set data.source to a file, a folder or a pattern", "datasets[].data_dir"),
    unsupported("take a part with data.max_rows", "datasets[].fraction"),
    unsupported(
        "tokens come from the model's tokenizer: save one with it, and name its folder as model.name",
        {"eos_token": "<EOS_TOKEN>"},  # what a dump writes in place of any value
    ),
    unsupported("rows are cut at their end: leave it out", {"truncation_mode": "keep_start"}),
    unsupported("rows are cut at model.max_length as a whole", "max_prompt_length max_target_length"),
    unsupported(
        "leave it out: the model runs as Transformers has it",
        "model_init_kwargs ref_model_init_kwargs activation_offloading use_liger_loss router_aux_loss_coef"
        " cast_lm_head_to_fp32 is_encoder_decoder model_adapter_name ref_adapter_name force_use_ref_model tools",
    ),
    unsupported(
        "adapters have the dropout of training.lora.dropout, and bases their own: leave it out",
        "disable_dropout",
    ),
    unsupported(
        "preferences are learned with their plain loss: leave it out",
        {
            "loss_weights": None,
            "ld_alpha": None,
            "f_divergence_type": "reverse_kl",
            "f_alpha_divergence_coef": 0.5,
            "label_smoothing": 0,
            "use_weighting": False,
            "discopop_tau": 0.05,
            "rpo_alpha": None,
            "reference_free": False,
            "use_logits_to_keep": None,
            "base_model_attribute_name": "model",
            "center_rewards_coefficient": None,
        },
    ),
    unsupported(
        "the model as it was before training is the reference: leave it out",
        {"sync_ref_model": False, "ref_model_mixup_alpha": 0.6, "ref_model_sync_steps": 512},
    ),
    unsupported(
        "choose training.grpo.rewards: programs and models of your own can't be named",
        "reward_funcs reward_model_name_or_path reward_weights",
    ),
    unsupported(
        "GRPO samples with training.grpo.temperature alone: leave it out",
        {
            "top_p": 1.0,
            "top_k": 0,
            "min_p": None,
            "generation_kwargs": None,
            "chat_template_kwargs": None,
            "repetition_penalty": 1.0,
            "cache_implementation": None,
            "max_tool_calling_iterations": None,
            "use_transformers_continuous_batching": False,
            "transformers_continuous_batching_config": None,
            "use_transformers_paged": False,
            "generation_batch_size": None,
            "steps_per_generation": None,
            "ds3_gather_for_generation": True,
            "environment_factory": None,
            "rollout_func": None,
        },
    ),
    unsupported(
        "answers are made by the model that is trained, without vLLM: leave it out",
        {
            "use_vllm": False,
            "vllm_mode": "colocate",
            "vllm_model_impl": "vllm",
            "vllm_enable_sleep_mode": False,
            "vllm_structured_outputs_regex": None,
            "vllm_guided_decoding_regex": None,
            "vllm_server_base_url": None,
            "vllm_server_host": "0.0.0.0",  # noqa: S104 - a value to compare with
            "vllm_server_port": 8000,
            "vllm_server_timeout": 240.0,
            "vllm_group_port": 51216,
            "vllm_gpu_memory_utilization": 0.3,
            "vllm_max_model_length": None,
            "vllm_tensor_parallel_size": 1,
            "vllm_importance_sampling_correction": True,
            "vllm_importance_sampling_mode": "sequence_mask",
            "vllm_importance_sampling_clip_max": 3.0,
            "vllm_importance_sampling_clip_min": None,
            "vllm_importance_sampling_cap": None,
        },
    ),
    unsupported(
        "GRPO has its plain loss here: leave it out",
        {
            "num_iterations": 1,
            "epsilon": 0.2,
            "delta": None,
            "epsilon_high": None,
            "sapo_temperature_neg": 1.05,
            "sapo_temperature_pos": 1.0,
            "vespo_k_pos": 2.0,
            "vespo_lambda_pos": 3.0,
            "vespo_k_neg": 3.0,
            "vespo_lambda_neg": 2.0,
            "importance_sampling_level": "token",
            "multi_objective_aggregation": "sum_then_normalize",
            "scale_rewards": "group",
            "mask_truncated_completions": False,
            "top_entropy_quantile": 1.0,
            "entropy_coef": 0.0,
            "use_adaptive_entropy": False,
            "entropy_coef_min": 0.0,
            "entropy_coef_max": 1.0,
            "entropy_coef_delta": 0.005,
            "entropy_target": 0.2,
            "off_policy_mask_threshold": None,
            "use_bias_correction_kl": True,
        },
    ),
)
