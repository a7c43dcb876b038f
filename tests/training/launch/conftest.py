"""A small real language model, rows with answers of very unequal length, and recipes for it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tunewright.config.schema import Recipe
from tunewright.data.chat.rows import ChatRow
from tunewright.models.catalogue import Base, resolve
from tunewright.training.language.sft import ChatData

WORDS = (
    "a", "and", "ball", "big", "boy", "cat", "day", "dog", "girl", "happy", "little", "mom", "park", "ran", "red",
    "said", "saw", "sun", "the", "to", "was", "went",
)  # fmt: skip


@pytest.fixture
def story_data() -> ChatData:
    """45 rows to learn from and 9 to judge by: neither is a multiple of what two processes take."""

    def rows(count: int, seed: int) -> tuple[ChatRow, ...]:
        draw = random.Random(seed)
        texts = (" ".join(draw.choices(WORDS, k=draw.randint(2, 50))) for _ in range(count))
        return tuple(
            ChatRow(kind="completion", row=at, prompt="Once upon a time", completion=f" {text}.")
            for at, text in enumerate(texts, start=1)
        )

    return ChatData(rows(45, 0), rows(9, 1), "stories")


@pytest.fixture
def story_base(shared: Path) -> Base:
    """A Llama of 260,000 weights that was trained on stories."""
    return resolve(story_recipe_of(shared).model, base_dir=shared)


@pytest.fixture
def story_recipe(shared: Path) -> Callable[..., Recipe]:
    """Return a function that makes a recipe for that model; keywords go to its training section."""

    def make(**training: object) -> Recipe:
        return story_recipe_of(shared, **training)

    return make


def story_recipe_of(shared: Path, **training: object) -> Recipe:
    settings = {
        "objective": "sft", "epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "threads": 1, "precision": "fp32",
        "device": "cpu", "logging_steps": 1, "sample_prompts": 0, "lora": {"dropout": 0.0},
    }  # fmt: skip
    return Recipe.model_validate(
        {
            "seed": 7,
            "model": {"name": str(shared / "models" / "stories260K-hf"), "max_length": 128},
            "training": settings | training,
        }
    )
