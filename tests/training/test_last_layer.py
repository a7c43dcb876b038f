"""The last layer for the first token alone: cheaper, and to rounding the same."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    set_seed,
)

from tunewright.training.kernels import _attend
from tunewright.training.last_layer import first_token_only

IDS = torch.tensor([[2, 9, 17, 3], [2, 5, 3, 0]])
BATCH = {"input_ids": IDS, "attention_mask": (IDS != 0).long()}


@pytest.fixture
def bert() -> BertForSequenceClassification:
    set_seed(0)
    settings = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        attn_implementation="eager",
    )
    return BertForSequenceClassification(settings).eval()


def gradients(model) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model(**BATCH, labels=torch.tensor([0, 1])).loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


def test_gradients_are_those_of_the_whole_layer(bert):
    whole = gradients(bert)
    with first_token_only(bert, BATCH, _attend):
        assert bert.bert(**BATCH).last_hidden_state.shape[1] == 1
        first = gradients(bert)
    assert bert.bert(**BATCH).last_hidden_state.shape[1] == IDS.shape[1]
    for name, gradient in whole.items():
        assert torch.allclose(gradient, first[name], atol=1e-6), name


def test_another_architecture_stays_as_it_is():
    settings = DistilBertConfig(vocab_size=40, dim=16, n_layers=1, n_heads=2, hidden_dim=32)
    model = DistilBertForSequenceClassification(settings).eval()
    with first_token_only(model, BATCH, _attend):
        assert model.distilbert(**BATCH).last_hidden_state.shape[1] == IDS.shape[1]


def test_where_the_logits_differ_the_layer_stays_as_it_is(bert):
    def wrong(*arguments, **settings):
        mixed, weights = _attend(*arguments, **settings)
        return torch.full_like(mixed, 50.0).cumsum(-1), weights

    with first_token_only(bert, BATCH, wrong):
        assert bert.bert(**BATCH).last_hidden_state.shape[1] == IDS.shape[1]
