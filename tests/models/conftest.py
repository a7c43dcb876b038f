"""Tiny models of many architectures, made from configurations, with a real WordPiece vocabulary."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

VOCABULARY = 30522
PLAIN = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
MARKS = {"pad_token_id": 0, "bos_token_id": 101, "eos_token_id": 102}
SHORT = {"vocab_size": VOCABULARY, "max_position_embeddings": 64}
ARCHITECTURES = {
    "bert": PLAIN,
    "distilbert": {**SHORT, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "roberta": {**PLAIN, **MARKS},
    "xlm-roberta": {**PLAIN, **MARKS},
    "electra": {**PLAIN, "embedding_size": 32},
    "deberta-v2": {
        **PLAIN,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "modernbert": {**PLAIN, **MARKS, "cls_token_id": 101, "sep_token_id": 102},
    "mpnet": {**PLAIN, **MARKS},
    "xlnet": {"vocab_size": VOCABULARY, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64},
    "gpt2": {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "llama": PLAIN,
    "t5": {"vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, **MARKS,
           "decoder_start_token_id": 0},
}  # fmt: skip
LABELS = ("greeting", "offer", "question")
WORDS = (
    "hello",
    "the",
    "a",
    "win",
    "prize",
    "call",
    "now",
    "free",
    "money",
    "friend",
    "how",
    "are",
    "you",
    "today",
    "£100",
    "(txt)",
    "later",
    "ok",
    "love",
)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def make_folder(shared, tmp_path_factory):
    """Save a tiny encoder of an architecture, with random weights, beside BERT's tokenizer."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            import torch
            from transformers import AutoConfig, AutoModel, AutoTokenizer

            folder = tmp_path_factory.mktemp(kind)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                AutoModel.from_config(AutoConfig.for_model(kind, **ARCHITECTURES[kind])).save_pretrained(
                    folder
                )
            AutoTokenizer.from_pretrained(shared / "models" / "tokenizer-bert-base-uncased").save_pretrained(
                folder
            )
            made[kind] = folder
        return made[kind]

    return make


@pytest.fixture(scope="session")
def make_base(make_folder):
    """Resolve a tiny base; give it with the section that names it."""

    def make(kind: str):
        from tunewright.config.schema import ModelConfig
        from tunewright.models.catalogue import resolve

        folder = make_folder(kind)
        config = ModelConfig(name=str(folder), max_length=32)
        return resolve(config, base_dir=folder), config

    return make


@pytest.fixture(scope="session")
def sentences():
    """Sixty texts of 1 to 13 words, and a class id each that the words decide."""
    import random

    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 13))) for _ in range(60)]
    return texts, [1 if "free" in text or "prize" in text else 2 if "how" in text else 0 for text in texts]


@pytest.fixture(scope="session")
def messages(sms):
    """Distinct texts of the SMS corpus with their labels, in the order of the file."""
    rows = dict.fromkeys(sms.read_text(encoding="utf-8").splitlines())
    return [tuple(row.split("\t", 1)) for row in rows]
