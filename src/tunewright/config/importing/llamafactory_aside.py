"""Keys of LLaMA-Factory that give a recipe nothing, and why; checked against the arguments in its public source."""

from __future__ import annotations

from tunewright.config.importing.rules import Table, joined, not_needed, unsupported
from tunewright.config.importing.trainer_keys import CHECKED, ONLY_LOGGED, ONLY_TRACKED, PLACED

ASIDE: Table = joined(
    not_needed("read from there", "dataset_dir"),
    not_needed(
        "LLaMA-Factory goes by disable_gradient_checkpointing",
        "gradient_checkpointing activation_checkpointing",
    ),
    not_needed(
        "tunewright prepares and caches rows itself",
        "overwrite_cache preprocessing_num_workers preprocessing_batch_size tokenized_path buffer_size"
        " ignore_pad_token_for_loss data_shared_file_system",
    ),
    not_needed("rows are written into one file, in whatever mixture", "mix_strategy interleave_probs"),
    not_needed(
        CHECKED,
        "eval_dataset eval_on_each_dataset eval_num_beams compute_accuracy predict_with_generate sortish_sampler"
        " generation_max_length generation_num_beams generation_config",
    ),
    not_needed(ONLY_LOGGED, "plot_loss include_effective_tokens_per_second print_param_status"),
    not_needed(
        ONLY_TRACKED,
        "use_swanlab swanlab_project swanlab_workspace swanlab_run_name swanlab_mode swanlab_api_key swanlab_logdir"
        " swanlab_lark_webhook_url swanlab_lark_secret",
    ),
    not_needed(
        PLACED,
        "cache_dir offload_folder export_dir export_size export_device export_quantization_bit"
        " export_quantization_dataset export_quantization_nsamples export_quantization_maxlen export_legacy_format"
        " export_hub_model_id",
    ),
    not_needed("a token belongs in the environment (HF_TOKEN)", "hf_hub_token ms_hub_token om_hub_token"),
    not_needed("attention is chosen for the device", "flash_attn"),
    not_needed(
        "the tokenizer is taken as its files say", "use_fast_tokenizer split_special_tokens tool_format"
    ),
    not_needed("tunewright places the model itself", "low_cpu_mem_usage quantization_device_map device_map"),
    not_needed("with training.gradient_checkpointing", "use_reentrant_gc"),
    not_needed("follows training.precision", "upcast_layernorm upcast_lmhead_output"),
    not_needed(
        "has to do with answering, not with training",
        "infer_backend infer_dtype use_kv_cache vllm_maxlen vllm_gpu_util vllm_enforce_eager vllm_max_lora_rank"
        " vllm_config sglang_maxlen sglang_mem_fraction sglang_tp_size sglang_config sglang_lora_backend do_sample"
        " temperature top_p top_k num_beams max_length max_new_tokens repetition_penalty length_penalty"
        " skip_special_tokens",
    ),
    not_needed("the 4 bits are NF4, with double quantisation", "double_quantization"),
    unsupported(
        "the 4 bits are bitsandbytes' NF4: leave it out",
        {
            "quantization_method": "bnb",
            "quantization_type": "nf4",
        },
    ),
    unsupported(
        "choose training.precision: fp32, bf16 or fp16",
        {"fp8": False, "fp8_backend": "auto", "fp8_enable_fsdp_float8_all_gather": False},
    ),
    unsupported(
        "start from a merged model: give its folder as model.name", "adapter_name_or_path adapter_folder"
    ),
    unsupported(
        "tokens come from the model's tokenizer: save one with them, and name its folder as model.name",
        "resize_vocab add_tokens add_special_tokens new_special_tokens_config init_special_tokens",
    ),
    unsupported(
        "leave it out: the model runs as Transformers has it",
        "rope_scaling shift_attn mixture_of_depths use_unsloth use_unsloth_gc enable_liger_kernel moe_aux_loss_coef"
        " use_v1_kernels use_kt kt_optimize_rule cpu_infer chunk_size mode kt_maxlen kt_use_cuda_graph kt_mode"
        " kt_force_think use_mca block_diag_attn",
    ),
    unsupported("take the group model=new for a model that starts from nothing", "train_from_scratch"),
    unsupported(
        "adapters are plain, on linear layers alone: leave it out",
        "additional_target loraplus_lr_ratio use_rslora pissa_init pissa_convert create_new_adapter",
    ),
    not_needed("read with the method that is named beside it", "loraplus_lr_embedding pissa_iter"),
    unsupported(
        "choose training.method: full, lora, qlora or dora",
        "freeze_trainable_layers freeze_trainable_modules freeze_extra_modules use_llama_pro module_dropout oft_rank"
        " oft_block_size oft_target",
    ),
    unsupported(
        "tunewright trains with AdamW: choose training.learning_rate for it",
        "use_galore galore_target galore_rank galore_update_interval galore_scale galore_proj_type galore_layerwise"
        " use_apollo apollo_target apollo_rank apollo_update_interval apollo_scale apollo_proj apollo_proj_type"
        " apollo_scale_type apollo_layerwise apollo_scale_front use_badam badam_mode badam_start_block"
        " badam_switch_mode badam_switch_interval badam_update_ratio badam_mask_mode badam_verbose use_adam_mini"
        " use_muon",
    ),
    unsupported(
        "preferences are learned with their plain loss: leave it out",
        {"pref_ftx": 0, "pref_bco_weight": 0, "dpo_label_smoothing": 0, "ld_alpha": None, "simpo_gamma": 0.5},
    ),
    unsupported(
        "the model as it was before training is the reference: leave it out",
        "ref_model ref_model_adapters ref_model_quantization_bit",
    ),
    unsupported(
        "tunewright has no PPO: take training.objective=grpo or dpo",
        "ppo_buffer_size ppo_epochs ppo_score_norm ppo_target ppo_whiten_rewards reward_model reward_model_adapters"
        " reward_model_quantization_bit reward_model_type",
    ),
    unsupported("choose training.loss_on", "use_dft_loss"),
    unsupported("rows come in random order, or of similar length", "disable_shuffling"),
    unsupported(
        "counts steps there: set training.early_stopping_patience, in epochs", "early_stopping_steps"
    ),
    unsupported("rows are read whole, and kept in shards: leave it out", "streaming"),
    unsupported(
        "images, sound and video are not read",
        "media_dir image_max_pixels image_min_pixels image_do_pan_and_scan crop_to_patches video_max_pixels"
        " video_min_pixels video_fps video_maxlen use_audio_in_video audio_sampling_rate freeze_vision_tower"
        " freeze_multi_modal_projector freeze_language_model",
    ),
    unsupported("the model's own template decides: give another with model.template", "enable_thinking"),
    unsupported(
        "tunewright starts its processes itself: choose training.devices",
        "ray_run_name ray_storage_path ray_storage_filesystem ray_num_workers resources_per_worker"
        " placement_strategy ray_init_kwargs master_addr master_port",
    ),
)
