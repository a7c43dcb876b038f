"""The forecast comes from real steps, changes nothing, and is scored afterwards."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tunewright.models.catalogue import resolve
from tunewright.training.classification import train
from tunewright.training.forecast import forecast, score


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
    assert figures.peak_memory_bytes >= 0, "what this process had mapped before doesn't count"
    assert "of the time" in judged.describe()


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
