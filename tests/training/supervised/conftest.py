"""Small real language models, and recipes that train them in seconds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chat_rows import TEMPLATE, instruction_rows

os.environ.setdefault("OMP_NUM_THREADS", "1")


class Points:
    """Collects what a training records."""

    def __init__(self):
        self.points = []

    def metrics(self, values, step):
        self.points += [(name, value, step) for name, value in values.items()]

    def table(self, name, rows, step):
        self.points += [(name, tuple(rows), step)]

    def of(self, name):
        return [value for found, value, _ in self.points if found == name]


@pytest.fixture
def recorder():
    return Points()


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("template") / "chat.jinja"
    path.write_text(TEMPLATE)
    return path


@pytest.fixture(scope="session")
def rows(shared):
    return instruction_rows(shared, 40)


@pytest.fixture
def make_recipe(shared):
    """A recipe for one of the small real models; keys of the training section, others dotted."""
    from tunewright.config.compose import compose

    def make(model="stories260K-hf", **training):
        words = [f"training.{name}={value}" for name, value in {**DEFAULTS, **training}.items()]
        return compose(["data=chat", "training=sft", f"model.name={shared / 'models' / model}", *words])

    return make


DEFAULTS = {
    "epochs": 1,
    "batch_size": 8,
    "learning_rate": 2e-3,
    "precision": "fp32",
    "device": "cpu",
    "threads": 1,
    "sample_prompts": 0,
    "logging_steps": 1,
}


@pytest.fixture
def open_base():
    from tunewright.models.catalogue import resolve

    return lambda recipe: resolve(recipe.model, base_dir=Path.cwd())
