"""The memory forecast of a language model counts validation, and is near what a training takes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tunewright.data.chat.rows import ChatRow
from tunewright.models.catalogue import resolve
from tunewright.training.forecast import forecast_of
from tunewright.training.language.methods import prepare
from tunewright.training.language.sft import ChatData

FACTOR = 1.4
"""The table in docs/performance.md is held to 1.2; here are a tiny model and perhaps another machine."""


def completions(lengths) -> tuple[ChatRow, ...]:
    """Return rows of about as many tokens."""
    return tuple(
        ChatRow(kind="completion", prompt=f"Tell {at}.", completion="a day " * (length // 3))
        for at, length in enumerate(lengths)
    )


@pytest.fixture
def long_recipe(make_recipe):
    """Return a function that makes a recipe for rows as long as the model reads."""

    def make(**training):
        recipe = make_recipe("sft", batch_size=4, **training)
        return recipe.model_copy(update={"model": recipe.model.model_copy(update={"max_length": 512})})

    return make


def test_long_validation_rows_count(long_recipe, tmp_path):
    recipe = long_recipe(epochs=1)
    base = resolve(recipe.model, base_dir=tmp_path)

    def activations(validation: int) -> int:
        data = ChatData(completions([40] * 8), completions([validation] * 16), "rows")
        return forecast_of(lambda: prepare(data, base, recipe), tmp_path).memory.activations

    assert activations(480) > activations(40) + 20 * 2**20


TRAIN = """
import json, sys
from pathlib import Path
from tunewright.config.schema import Recipe
from tunewright.data.chat.rows import ChatRow
from tunewright.models.catalogue import resolve
from tunewright.training.forecast import forecast_of
from tunewright.training.language.methods import prepare, train
from tunewright.training.language.sft import ChatData

class Silent:
    def metrics(self, values, step): pass

rows, recipe, folder = (Path(each) for each in sys.argv[1:])
rows = tuple(map(ChatRow.model_validate_json, rows.read_text().splitlines()))
recipe = Recipe.model_validate_json(recipe.read_text())
base = resolve(recipe.model, base_dir=folder)
data = ChatData(rows[8:], rows[:8], "rows")
expected = forecast_of(lambda: prepare(data, base, recipe), folder)
figures = train(data, base, recipe, workspace=folder / "work", recorder=Silent()).figures
print(json.dumps([expected.memory_bytes, figures.peak_memory_bytes]))
"""


def test_the_forecast_is_near_what_the_training_takes(long_recipe, tmp_path):
    rows, recipe = tmp_path / "rows.jsonl", tmp_path / "recipe.json"
    rows.write_text("\n".join(row.model_dump_json() for row in completions([*range(40, 500, 50)] * 4)))
    recipe.write_text(long_recipe(epochs=2, checkpoint_steps=3).model_dump_json())
    words = map(str, (rows, recipe, tmp_path))
    done = subprocess.run([sys.executable, "-c", TRAIN, *words], capture_output=True, text=True, check=True)
    foreseen, measured = json.loads(done.stdout.splitlines()[-1])
    assert foreseen == pytest.approx(measured, rel=FACTOR - 1)
