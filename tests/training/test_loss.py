"""The loss is the mean over all rows of a step, however they are cut into batches."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.training.loss import NonFiniteLossError, class_weights, window_loss


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200))
def test_balanced_weights_have_mean_one_and_give_each_class_the_same_say(labels):
    weights = class_weights(labels, 5, "balanced")
    total = {label: weights[label] * labels.count(label) for label in set(labels)}
    assert sum(total.values()) == pytest.approx(len(labels))
    assert max(total.values()) == pytest.approx(min(total.values()))


def test_auto_weighs_only_very_unequal_classes():
    assert class_weights([0] * 9 + [1], 2, "auto") is None
    assert class_weights([0] * 10 + [1], 2, "auto") == pytest.approx((0.55, 5.5))
    assert class_weights([0] * 1000 + [1], 2, "none") is None
    assert class_weights([0] * 4, 2, "balanced") == (1.0, 1.0)


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.booleans())
def test_parts_of_a_window_add_up_to_its_mean(sizes, weighted):
    import torch

    generator = torch.Generator().manual_seed(0)
    rows = sum(sizes)
    logits = torch.randn(rows, 3, generator=generator)
    labels = torch.randint(0, 3, (rows,), generator=generator)
    weights = torch.tensor([0.5, 2.0, 1.0]) if weighted else None
    whole = window_loss(logits, labels, rows, weights)
    parts = sum(
        window_loss(part, named, rows, weights)
        for part, named in zip(logits.split(sizes), labels.split(sizes), strict=True)
    )
    assert float(parts) == pytest.approx(float(whole), rel=1e-5)


def test_a_loss_that_is_not_finite_is_noticed_at_once():
    import torch

    with pytest.raises(NonFiniteLossError):
        window_loss(torch.full((2, 2), float("nan")), torch.tensor([0, 1]), 2)
