"""What CTranslate2's converter reads rightly, and what it gets wrong without a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ENCODERS = ("distilbert",)
"""Its converter reads DistilBERT; with transformers 5 it stops at BERT, RoBERTa and XLM-R, whose configuration lost
``position_embedding_type``, and never knew ModernBERT or DeBERTa."""
WRITERS = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gpt2", "opt", "falcon")
"""Language models whose converted copies were compared. At Phi-3 and GPT-NeoX the converter stops with transformers 5;
Gemma 2 and 3 come out otherwise than they were even where their scale is the head size."""
ROPE = ("default", "linear", "llama3", None)
LLAMA3_CONTEXT = 8192
"""Original context that it takes for granted in Llama 3's rotary embeddings."""


def encoder_refusal(architecture: str) -> str:
    """Say why an encoder can't be converted rightly; empty when it can."""
    if architecture in ENCODERS:
        return ""
    return f"CTranslate2's converter can't read {architecture} encoders; use openvino"


def writer_refusal(config: Mapping[str, Any]) -> str:
    """Say why a language model can't be converted rightly; empty when it can."""
    architecture = str(config.get("model_type", ""))
    scale = config.get("query_pre_attn_scalar")
    if scale is not None and scale != config.get("head_dim"):
        return (
            f"CTranslate2 scales attention by the head size {config.get('head_dim')} where this model was trained with "
            f"{scale} (query_pre_attn_scalar), which is wrong without a word; use transformers"
        )
    if architecture not in WRITERS:
        return f"CTranslate2's converter can't read {architecture} rightly; use openvino or transformers"
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = rope.get("rope_type", rope.get("type"))
    if kind not in ROPE:
        return f"CTranslate2 doesn't know rotary embeddings of type {kind}; use openvino or transformers"
    context = rope.get("original_max_position_embeddings")
    if kind == "llama3" and context != LLAMA3_CONTEXT:
        return (
            f"CTranslate2 takes an original context of {LLAMA3_CONTEXT} for granted where this model has {context}, "
            "which is wrong without a word; use openvino or transformers"
        )
    return ""
