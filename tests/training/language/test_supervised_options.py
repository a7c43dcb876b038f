"""Noise on embeddings, activations computed twice, and answers that a person can watch."""

from __future__ import annotations

import pytest
import torch

from tunewright.models.catalogue import resolve
from tunewright.models.language.model import LanguageModel
from tunewright.training.language.activations import activation_bytes
from tunewright.training.language.methods import prepare


def test_noise_on_embeddings_changes_training_and_nothing_else(
    conversations, make_recipe, fine_tune, tmp_path
):
    plain = fine_tune(conversations, make_recipe("sft", epochs=1), workspace="plain")
    noisy = fine_tune(conversations, make_recipe("sft", epochs=1, neftune_alpha=5.0), workspace="noisy")
    assert noisy.log[0]["train/loss"] != plain.log[0]["train/loss"]
    assert noisy.model.digest() != plain.model.digest()
    rows = list(conversations.validation)
    losses = noisy.model.losses(rows)
    assert noisy.model.losses(rows) == losses, "no noise where it is asked"
    noisy.model.model.train()
    assert noisy.model.losses(rows) == losses
    noisy.model.model.eval().save_pretrained(tmp_path / "check")
    noisy.model.save(tmp_path / "saved")
    again = LanguageModel.load(tmp_path / "saved").losses(rows)
    assert [loss for loss, _ in again] == pytest.approx([loss for loss, _ in losses], rel=1e-6)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_activations_computed_twice_give_the_same_gradients(
    method, conversations, make_recipe, template, tmp_path
):
    found = {}
    for asked in ("off", "on"):
        recipe = make_recipe("sft", method=method, gradient_checkpointing=asked)
        base = resolve(recipe.model, base_dir=tmp_path)
        plan = prepare(conversations, base, recipe, template=template)
        batch = plan.padding([plan.train[at] for at in range(8)])
        layers = []
        with plan.computing():
            plan.model.train()
            inner = plan.model.get_base_model() if method == "lora" else plan.model
            layers = [layer.gradient_checkpointing for layer in inner.model.layers]
            torch.manual_seed(0)
            plan.loss(plan.model, dict(batch), plan.items([batch])).backward()
        assert all(layers) == (asked == "on")
        assert not any(layer.gradient_checkpointing for layer in inner.model.layers), "it is over afterwards"
        found[asked] = {
            name: weight.grad for name, weight in plan.model.named_parameters() if weight.grad is not None
        }
    assert found["on"].keys() == found["off"].keys()
    for name, gradient in found["off"].items():
        torch.testing.assert_close(found["on"][name], gradient, atol=1e-6, rtol=0)


def test_where_memory_is_short_they_are_computed_twice(
    conversations, make_recipe, template, tmp_path, monkeypatch
):
    recipe = make_recipe("sft")
    base = resolve(recipe.model, base_dir=tmp_path)
    assert not prepare(conversations, base, recipe, template=template).recompute
    monkeypatch.setattr("tunewright.training.language.activations.available_memory", lambda _: 1 << 20)
    plan = prepare(conversations, base, recipe, template=template)
    assert plan.recompute
    short, long = (activation_bytes(plan.model.config, tokens, 64) for tokens in (256, 1024))
    assert long == 4 * short


def test_validation_prompts_are_answered_after_each_epoch(conversations, make_recipe, fine_tune, recorder):
    recipe = make_recipe("sft", sample_prompts=2)
    told = fine_tune(conversations, recipe)
    assert sorted(recorder.tables) == [entry["step"] for entry in told.history]
    last = recorder.tables[told.history[-1]["step"]]
    assert [row["reference"] for row in last] == [
        row.messages[-1].content for row in conversations.validation[:2]
    ]
    assert all(row["prompt"].endswith("Answer:") for row in last)
    silent = fine_tune(conversations, make_recipe("sft"), workspace="silent")
    assert silent.model.digest() == told.model.digest(), "answering changes nothing that is learned"
