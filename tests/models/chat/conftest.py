"""Model folders made of the tokenizer of words, and a real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from words_and_turns import CHATML, word_tokenizer


@pytest.fixture
def make_folder(tmp_path):
    """Save a tokenizer of words as a model folder."""

    def make(tokenizer=None, *, rows: int | None = None, **settings) -> Path:
        folder = tmp_path / "model"
        tokenizer = tokenizer or word_tokenizer()
        tokenizer.save_pretrained(folder)
        config = {"model_type": "llama", "vocab_size": rows or len(tokenizer), **settings}
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return make


@pytest.fixture
def open_with(make_folder):
    """Open a tokenizer of words with a template, as a user's folder would be."""

    def make(template: str | None = CHATML, **options):
        from tunewright.models.chat.tokenizer import open_chat_tokenizer

        return open_chat_tokenizer(make_folder(word_tokenizer(template, **options)))

    return make


@pytest.fixture(scope="session")
def stories(shared):
    """The folder of a real byte-fallback tokenizer without a chat template."""
    return shared / "models" / "stories260K-hf"
