"""A batch computed in pieces is the same step: same rows, same loss, same gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.training.batching import Padding

ROWS = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=40), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None)
@given(rows=ROWS, tokens=st.integers(1, 200), side=st.sampled_from(["left", "right"]))
def test_pieces_hold_every_token_once_and_no_column_of_padding(rows, tokens, side):
    padding = Padding(pad_id=0, side=side)
    batch = padding([(ids, at) for at, ids in enumerate(rows)])
    pieces = list(padding.pieces(batch, tokens=tokens))
    assert [label for piece in pieces for label in piece["labels"].tolist()] == list(range(len(rows)))
    found = [
        row[mask.bool()].tolist()
        for piece in pieces
        for row, mask in zip(piece["input_ids"], piece["attention_mask"], strict=True)
    ]
    assert found == rows
    if len(pieces) > 1:
        assert all(bool(piece["attention_mask"].any(dim=0).all()) for piece in pieces)


def test_a_fixed_length_is_kept():
    padding = Padding(pad_id=0, to_length=16)
    batch = padding([([1, 2, 3], 0)] * 8)
    assert [tuple(piece["input_ids"].shape) for piece in padding.pieces(batch, tokens=64)] == [(4, 16)] * 2


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_training_in_pieces_ends_as_the_whole_batches_do(
    make_dataset, tiny_recipe, tmp_path, recorder, monkeypatch, accumulation
):
    from tunewright.models.catalogue import resolve
    from tunewright.training import plan
    from tunewright.training.classification import train

    dataset = make_dataset()
    recipe = tiny_recipe(epochs=2, batch_size=8, gradient_accumulation_steps=accumulation)
    base = resolve(recipe.model, base_dir=tmp_path)
    weights = {}
    for name, tokens in (("whole", 10**9), ("pieces", 24)):
        monkeypatch.setattr(plan, "TOKENS_AT_ONCE", tokens)
        # Without dropout, whose random numbers would be drawn in another order.
        monkeypatch.setattr("tunewright.training.kernels.drop", lambda values, _: values)
        trained = train(dataset, base, recipe, workspace=tmp_path / name, recorder=recorder)
        weights[name] = trained.classifier.model.state_dict()
    for name, whole in weights["whole"].items():
        torch.testing.assert_close(weights["pieces"][name], whole, atol=2e-4, rtol=1e-3)
