"""A tiny encoder made from its configuration, and messages with a learnable label."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tunewright.config.schema import Recipe
from tunewright.data.dataset import Dataset, Manifest, SourceFacts
from tunewright.support.digests import digest_json

WORDS = (
    "please",
    "call",
    "now",
    "the",
    "my",
    "order",
    "today",
    "later",
    "phone",
    "home",
    "we",
    "at",
    "soon",
    "it",
)
SIGNS = {
    "ham": ("dinner", "love", "sleep"),
    "spam": ("prize", "winner", "urgent"),
    "bill": ("invoice", "due", "fee"),
}


class Points:
    """A recorder that remembers."""

    def __init__(self) -> None:
        self.points: dict[tuple[str, int], float] = {}

    def metrics(self, values, step):
        self.points |= {(name, step): value for name, value in values.items()}


@pytest.fixture
def recorder() -> Points:
    return Points()


def messages(rows: int, shares: dict[str, float], seed: int) -> list[tuple[str, str]]:
    """Make texts of 3 to 40 words in which one word tells the label."""
    draw = random.Random(seed)
    made = []
    for label in draw.choices(list(shares), weights=list(shares.values()), k=rows):
        words = draw.choices(WORDS, k=min(40, 2 + int(draw.expovariate(0.15))))
        words.insert(draw.randrange(len(words) + 1), draw.choice(SIGNS[label]))
        made.append((" ".join(words), label))
    return made


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Dataset]:
    """Return a function that writes a data set folder."""

    def make(train: int = 160, validation: int = 40, shares: dict[str, float] | None = None) -> Dataset:
        import pandas as pd

        shares = shares or {"ham": 0.6, "spam": 0.4}
        root = tmp_path / f"data-{train}-{validation}-{len(shares)}"
        for seed, (split, rows) in enumerate({"train": train, "validation": validation, "test": 20}.items()):
            texts = messages(rows, shares, seed)
            (root / split).mkdir(parents=True)
            frame = pd.DataFrame(texts, columns=["text", "label"])
            frame.insert(0, "row", range(1, rows + 1))
            frame["source"] = "made.csv"
            frame.to_parquet(root / split / "part-00000.parquet")
        manifest = Manifest(
            source=SourceFacts(uri="made.csv", format="csv", text_column="text", label_column="label"),
            rows=train + validation + 20, unique=train, labels={}, label_names=tuple(sorted(shares)), quarantined={},
            splits={}, split_labels={}, split_digests={}, digest=digest_json([train, validation, shares]),
            split_by="text", seed=0, leaks={}, cleaning={}, flags={}, quality={}, columns={},
        )  # fmt: skip
        (root / "manifest.json").write_text(manifest.model_dump_json())
        return Dataset.load(root)

    return make


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with two layers of width 32 and a word-level vocabulary, without dropout."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*specials, *WORDS, *(word for words in SIGNS.values() for word in words)]
    vocabulary = {word: at for at, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=64,
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_recipe(tiny_folder: Path) -> Callable[..., Recipe]:
    """Return a function that makes a recipe for the tiny encoder; keywords go to its training section."""

    def make(*, seed: int = 7, evaluation: dict[str, object] | None = None, **training: object) -> Recipe:
        settings = {
            "epochs": 4, "batch_size": 16, "learning_rate": 5e-3, "threads": 1, "precision": "fp32",
            "device": "cpu", "logging_steps": 5,
        }  # fmt: skip
        return Recipe.model_validate(
            {
                "seed": seed,
                "model": {"name": str(tiny_folder)},
                "training": settings | training,
                "evaluation": evaluation or {},
            }
        )

    return make
