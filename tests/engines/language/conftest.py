"""Small language models: a real one with an adapter that does something, and tiny ones of many architectures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from language_subjects import Subject, make_subject

os.environ.setdefault("OMP_NUM_THREADS", "1")

HEADS = 4
SIZE = 64
"""Head size 16: ONNX Runtime's attention takes no other than its multiples."""
TINY: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 2},
    "mistral": {"num_key_value_heads": 2, "sliding_window": 8},
    # Their tokenizers add a token, and their embeddings have more rows than that.
    "qwen2": {"num_key_value_heads": 2, "vocab_size": 520},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 16, "vocab_size": 520},
    "gemma": {"num_key_value_heads": 1, "head_dim": 16},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 16, "query_pre_attn_scalar": 24, "sliding_window": 8},
    "gemma3_text": {"num_key_value_heads": 2, "head_dim": 16, "sliding_window": 8},
    "phi3": {"num_key_value_heads": 2},
    "gpt2": {"n_embd": SIZE, "n_head": HEADS, "n_layer": 2, "n_positions": 256},
    "gpt_neox": {},
    "opt": {"ffn_dim": 96, "word_embed_proj_dim": SIZE},
    "bloom": {"n_head": HEADS, "n_layer": 2},
    "mamba": {"state_size": 4},
}


@pytest.fixture(scope="session")
def stories(shared) -> Path:
    return shared / "models" / "stories260K-hf"


@pytest.fixture(scope="session")
def subject(tmp_path_factory):
    """Make a subject of a model folder, with an adapter where asked for."""

    def make(folder: Path, **given: Any) -> Subject:
        return make_subject(folder, tmp_path_factory.mktemp("subject"), **given)

    return make


@pytest.fixture(scope="session")
def tuned(subject, wide_stories):
    """A fine-tuned model: a base with an adapter that was folded in."""
    return subject(wide_stories, adapter=0.05)


@pytest.fixture(scope="session")
def real(shared) -> Path:
    """A small model that was trained, with heads that every engine takes."""
    return shared / "models" / "tinystories-656k-fixed-tokenizer"


@pytest.fixture(scope="session")
def real_tuned(subject, real):
    """The trained one with an adapter that was folded in; fewer bits tell only of trained weights what they cost."""
    return subject(real, adapter=0.3)


@pytest.fixture(scope="session")
def wide_stories(tiny) -> Path:
    """A Llama of random weights with the real tokenizer."""
    return tiny("llama")


@pytest.fixture(scope="session")
def tiny(stories, tmp_path_factory):
    """Make a folder with a tiny model of an architecture, random weights, and the stories' tokenizer."""

    def make(architecture: str, **more: Any) -> Path:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

        torch.manual_seed(0)
        settings = {
            "vocab_size": 512,
            "hidden_size": SIZE,
            "num_hidden_layers": 2,
            "num_attention_heads": HEADS,
            "intermediate_size": 96,
            "max_position_embeddings": 256,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
            # Wide enough that greedy answers differ from prompt to prompt.
            "initializer_range": 0.3,
            **TINY[architecture],
            **more,
        }
        folder = tmp_path_factory.mktemp("tiny") / architecture
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **settings))
        model.generation_config.eos_token_id = 2
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(stories).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """All copies: what one file converted the next one finds."""
    return tmp_path_factory.mktemp("copies")


@pytest.fixture(scope="session")
def opened(cache):
    """Convert a subject and open the copy."""
    from tunewright.engines.conversion import convert
    from tunewright.engines.copies import open_language_model
    from tunewright.engines.interface import Form

    def open_(subject: Subject, form: str, *, slots: int = 4):
        folder = convert(subject.source, Form.parse(form), cache, language=subject.facts)
        return open_language_model(folder, threads=1, slots=slots)

    return open_
