"""Families of causal language models: how each stops, pads and is adapted, and a few models by a short name."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

SEPARATE_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The linear layers of Llama and its many relatives."""
FUSED_PROJECTIONS = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
"""Phi-3 and its successors keep query, key and value in one layer, and gate and up in another."""


@dataclass(frozen=True, slots=True)
class Family:
    """What models of one family have in common; names of tokens count where the vocabulary has them."""

    name: str
    model_types: tuple[str, ...]
    """``model_type`` of the configurations."""
    signature: tuple[str, ...]
    """Tokens by which its vocabulary is told from others of the same model type; none: only known by name."""
    stop_tokens: tuple[str, ...]
    """Any of them ends an answer."""
    pad_tokens: tuple[str, ...]
    """Tokens that no text contains and no answer ends with, best first, where a name doesn't tell them."""
    lora_modules: tuple[str, ...]
    """Layers to adapt unless the recipe names others."""


@dataclass(frozen=True, slots=True)
class CausalEntry:
    """A causal language model that we know by a short name."""

    name: str
    hub_id: str
    family: str
    licence: str
    """SPDX identifier, or the name that its hub page gives the licence."""
    gated: bool | None
    """Whether its terms must be accepted on the hub first; ``None`` where that has changed over time."""
    parameters: int
    """Approximate, embeddings included."""
    context: int
    """Tokens that it was made to read."""


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "llama-3",
            ("llama",),
            ("<|eot_id|>", "<|begin_of_text|>"),
            ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
            ("<|finetune_right_pad_id|>", "<|reserved_special_token_0|>"),
            SEPARATE_PROJECTIONS,
        ),
        Family(
            "mistral",
            ("mistral",),
            ("[INST]", "[/INST]"),
            ("</s>",),
            ("<pad>",),
            SEPARATE_PROJECTIONS,
        ),
        Family(
            "gemma",
            ("gemma", "gemma2", "gemma3", "gemma3_text"),
            ("<end_of_turn>",),
            ("<end_of_turn>", "<eos>"),
            ("<pad>",),
            SEPARATE_PROJECTIONS,
        ),
        Family(
            "qwen",
            ("qwen2", "qwen3"),
            ("<|im_end|>", "<|endoftext|>"),
            ("<|im_end|>", "<|endoftext|>"),
            ("<|fim_pad|>", "<|vision_pad|>"),
            SEPARATE_PROJECTIONS,
        ),
        Family(
            "phi-3",
            ("phi3",),
            ("<|end|>", "<|endoftext|>"),
            ("<|end|>", "<|endoftext|>"),
            (),
            FUSED_PROJECTIONS,
        ),
        Family("tinyllama", ("llama",), (), ("</s>",), (), SEPARATE_PROJECTIONS),
        Family(
            "smollm",
            ("llama",),
            ("<|im_end|>", "<empty_output>"),
            ("<|im_end|>", "<|endoftext|>"),
            ("<empty_output>",),
            SEPARATE_PROJECTIONS,
        ),
    )
}
CAUSAL_CATALOGUE: dict[str, CausalEntry] = {
    entry.name: entry
    for entry in (
        CausalEntry(
            "smollm2-135m",
            "HuggingFaceTB/SmolLM2-135M-Instruct",
            "smollm",
            "Apache-2.0",
            gated=False,
            parameters=134_500_000,
            context=8192,
        ),
        CausalEntry(
            "smollm2-360m",
            "HuggingFaceTB/SmolLM2-360M-Instruct",
            "smollm",
            "Apache-2.0",
            gated=False,
            parameters=361_800_000,
            context=8192,
        ),
        CausalEntry(
            "qwen2.5-0.5b",
            "Qwen/Qwen2.5-0.5B-Instruct",
            "qwen",
            "Apache-2.0",
            gated=False,
            parameters=494_000_000,
            context=32_768,
        ),
        CausalEntry(
            "qwen2.5-1.5b",
            "Qwen/Qwen2.5-1.5B-Instruct",
            "qwen",
            "Apache-2.0",
            gated=False,
            parameters=1_544_000_000,
            context=32_768,
        ),
        CausalEntry(
            "tinyllama",
            "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
            "tinyllama",
            "Apache-2.0",
            gated=False,
            parameters=1_100_000_000,
            context=2048,
        ),
        CausalEntry(
            "llama-3.2-1b",
            "meta-llama/Llama-3.2-1B-Instruct",
            "llama-3",
            "llama3.2",
            gated=True,
            parameters=1_236_000_000,
            context=131_072,
        ),
        CausalEntry(
            "llama-3.1-8b",
            "meta-llama/Llama-3.1-8B-Instruct",
            "llama-3",
            "llama3.1",
            gated=True,
            parameters=8_030_000_000,
            context=131_072,
        ),
        CausalEntry(
            "gemma-2-2b",
            "google/gemma-2-2b-it",
            "gemma",
            "gemma",
            gated=True,
            parameters=2_614_000_000,
            context=8192,
        ),
        CausalEntry(
            "phi-3-mini",
            "microsoft/Phi-3-mini-4k-instruct",
            "phi-3",
            "MIT",
            gated=False,
            parameters=3_821_000_000,
            context=4096,
        ),
        CausalEntry(
            "mistral-7b",
            "mistralai/Mistral-7B-Instruct-v0.3",
            "mistral",
            "Apache-2.0",
            gated=None,
            parameters=7_248_000_000,
            context=32_768,
        ),
    )
}


def find_causal(name: str) -> CausalEntry | None:
    """Return the catalogue's entry for a short name or a hub id."""
    return CAUSAL_CATALOGUE.get(name) or next(
        (each for each in CAUSAL_CATALOGUE.values() if each.hub_id == name), None
    )


def find_family(name: str, model_type: str, vocabulary: Container[str]) -> Family | None:
    """Return the family of a model; ``None`` for one whose settings come from its own files alone.

    Args:
        name: A catalogue name, hub id or folder.
        model_type: Of its configuration.
        vocabulary: The tokens that its tokenizer knows.
    """
    entry = find_causal(name)
    if entry:
        return FAMILIES[entry.family]
    for family in FAMILIES.values():
        is_of_type = model_type in family.model_types and family.signature
        if is_of_type and all(token in vocabulary for token in family.signature):
            return family
    return None
