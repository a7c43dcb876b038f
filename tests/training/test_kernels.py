"""The cheap kernels compute what the usual ones compute, and leave the model as it was."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForSequenceClassification

from tunewright.training.hardware import Hardware
from tunewright.training.kernels import ATTENTION, cheaper_kernels, drop

ON_CPU = Hardware("cpu", "fp32", "highest", "eager", threads=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_drops_the_share_asked_for(dtype, rate):
    torch.manual_seed(0)
    values = torch.ones(1000, 1001, dtype=dtype)
    dropped = drop(values, rate).float()
    assert float((dropped == 0).float().mean()) == pytest.approx(rate, abs=0.002)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.01)
    assert dropped.unique().numel() == 2


def test_dropout_is_independent_between_places_and_draws():
    torch.manual_seed(0)
    dropped = torch.stack([drop(torch.ones(4000), 0.5) for _ in range(200)])
    assert float(torch.corrcoef(dropped.T[:8]).fill_diagonal_(0).abs().max()) < 0.35
    assert float(torch.corrcoef(dropped[:8]).fill_diagonal_(0).abs().max()) < 0.1


@settings(deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.floats(0, 1))
def test_the_gradient_passes_where_the_value_passed(shape, rate):
    values = torch.randn(shape, requires_grad=True)
    dropped = drop(values, rate)
    dropped.sum().backward()
    kept = dropped.detach() != 0
    assert values.grad.shape == values.shape
    assert torch.equal(values.grad != 0, kept | ((values.detach() == 0) & (values.grad != 0)))


def test_dropout_repeats_by_seed():
    def once():
        torch.manual_seed(4)
        return drop(torch.ones(100), 0.3)

    assert torch.equal(once(), once())


def encoder(kind, **settings):
    if kind == "distilbert":
        settings |= {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    config = AutoConfig.for_model(
        kind, vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        num_labels=3, pad_token_id=0, **settings,
    )  # fmt: skip
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(config)


def sample():
    ids = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]])
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


@pytest.mark.parametrize(
    "kind", ["bert", "roberta", "electra", "modernbert", "distilbert", "mpnet", "deberta-v2"]
)
def test_every_architecture_gives_the_same_logits_or_keeps_its_own_attention(kind):
    model = encoder(kind).eval()
    inputs = sample()
    with torch.inference_mode():
        expected = model(**inputs).logits
        before = model.config._attn_implementation
        with cheaper_kernels(model, ON_CPU, inputs):
            inside = model.config._attn_implementation
            found = model(**inputs).logits
        assert torch.equal(model(**inputs).logits, expected), "afterwards the model is as before"
    assert model.config._attn_implementation == before
    assert torch.allclose(found, expected, atol=1e-4)
    if kind in {"bert", "roberta", "electra", "distilbert"}:
        assert inside == ATTENTION


def test_training_still_drops_out():
    model = encoder("bert", hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3).train()
    with cheaper_kernels(model, ON_CPU, sample()):
        one, two = (model(**sample()).logits for _ in range(2))
        assert not torch.equal(one, two)
        assert model.training
