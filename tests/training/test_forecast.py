"""The forecast comes from real steps, changes nothing, and is scored afterwards."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest

from tunewright.models.catalogue import resolve
from tunewright.training.classification import train
from tunewright.training.forecast import Forecast, forecast, score


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_forecast_counts_steps_and_tokens_exactly(method, make_dataset, tiny_recipe, tmp_path, recorder):
    dataset = make_dataset()
    recipe = tiny_recipe(method=method, epochs=2.5, batch_size=16, gradient_accumulation_steps=3)
    base = resolve(recipe.model, base_dir=tmp_path)
    expected = forecast(dataset, base, recipe)
    figures = train(dataset, base, recipe, workspace=tmp_path / "work", recorder=recorder).figures
    assert expected.steps == figures.steps == 10
    assert expected.useful_tokens == figures.useful_tokens
    assert expected.padding_share == pytest.approx(figures.padding_share)
    assert expected.fits
    assert "10 steps in about" in expected.describe()
    judged = score(expected, figures)
    assert judged.seconds_ratio > 0
    weights = sum(path.stat().st_size for path in base.folder.glob("*.safetensors"))
    assert expected.memory_bytes > weights
    assert "of the time" in judged.describe()
    parts = expected.memory
    assert parts.total == expected.memory_bytes
    assert parts.gradients == parts.best_weights
    assert parts.optimizer == pytest.approx(2 * parts.gradients, rel=0.01)
    if method == "full":
        assert parts.adapter == 0
        assert parts.weights == pytest.approx(weights, rel=0.2)
    else:
        assert 0 < parts.adapter == parts.gradients < parts.weights


def test_the_parts_of_the_memory_are_said_in_a_line_of_their_own(make_dataset, tiny_recipe, tmp_path):
    recipe = tiny_recipe(epochs=1)
    expected = forecast(make_dataset(), resolve(recipe.model, base_dir=tmp_path), recipe)
    said, parts = expected.lines()
    assert said == expected.describe()
    assert parts.startswith("memory: ")
    stored = expected.model_dump(mode="json")
    del stored["memory"]  # as an earlier version wrote it
    assert Forecast.model_validate(stored).lines() == (said,)


def test_the_forecast_changes_neither_random_state_nor_result(make_dataset, tiny_recipe, tmp_path, recorder):
    import torch

    dataset, recipe = make_dataset(), tiny_recipe(epochs=1)
    base = resolve(recipe.model, base_dir=tmp_path)
    without = train(dataset, base, recipe, workspace=tmp_path / "one", recorder=recorder)
    torch.manual_seed(3)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    forecast(dataset, base, recipe)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]
    after = train(dataset, base, recipe, workspace=tmp_path / "two", recorder=recorder)
    assert after.classifier.digest() == without.classifier.digest()


MEASURE = """
import json, sys
from pathlib import Path
from tunewright.config.schema import Recipe
from tunewright.data.dataset import Dataset
from tunewright.models.catalogue import resolve
from tunewright.training.classification import train

class Silent:
    def metrics(self, values, step): pass

data, recipe, folder = sys.argv[1:]
recipe = Recipe.model_validate_json(recipe)
base = resolve(recipe.model, base_dir=Path(folder))
ballast = b"x" * int(1.2e9)  # held before and throughout: no part of what the training takes
figures = train(Dataset.load(Path(data)), base, recipe, workspace=Path(folder) / "work", recorder=Silent()).figures
print(json.dumps(figures.peak_memory_bytes))
"""


def test_the_memory_of_a_training_is_what_it_takes_in_a_process_of_its_own(
    make_dataset, tiny_recipe, tiny_folder, tmp_path
):
    words = (str(make_dataset().root), tiny_recipe(epochs=2).model_dump_json(), str(tmp_path))
    done = subprocess.run([sys.executable, "-c", MEASURE, *words], capture_output=True, text=True, check=True)
    peak = int(done.stdout.splitlines()[-1])
    weights = sum(path.stat().st_size for path in tiny_folder.glob("*.safetensors"))
    assert weights < peak < 1e9, "above the weights; neither the libraries nor the ballast count"
