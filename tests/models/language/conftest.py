"""A small real language model with an adapter that does something."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

PROMPTS = ("Once upon a time", "Lily saw a big red ball", "The dog ran to the park and")


@pytest.fixture(scope="session")
def stories(shared) -> Path:
    return shared / "models" / "stories260K-hf"


@pytest.fixture
def adapted(stories):
    """Open the model with an adapter of random weights; ``held`` says how its base is."""

    def make(held="full", *, magnitudes=False, strength=0.02, folder=stories):
        import torch

        from tunewright.config.schema import Lora, ModelConfig
        from tunewright.models.catalogue import resolve
        from tunewright.models.chat.tokenizer import open_chat_tokenizer
        from tunewright.models.language.adapters import add_adapter
        from tunewright.models.language.description import Identity
        from tunewright.models.language.loading import load_causal
        from tunewright.models.language.model import LanguageModel

        base = resolve(ModelConfig(name=str(folder)), base_dir=Path.cwd())
        chat = open_chat_tokenizer(folder)
        model = add_adapter(
            load_causal(folder, chat, load_in=held),
            Lora(dropout=0.0),
            modules=chat.setup.lora_modules,
            seed=1,
            magnitudes=magnitudes,
        )
        random = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.normal_(0, strength, generator=random) if strength else weight.zero_()
        method = "lora" if held == "full" else "qlora"
        return LanguageModel(chat, model, max_length=256, method=method, load_in=held, base=Identity.of(base))

    return make


@pytest.fixture
def prompts(stories):
    from tunewright.models.chat.tokenizer import open_chat_tokenizer

    tokenizer = open_chat_tokenizer(stories).tokenizer
    return [tokenizer(text)["input_ids"] for text in PROMPTS]
