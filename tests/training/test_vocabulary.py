"""Vectors of tokens that the data set never uses are left out of training, and nobody can tell."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

from tunewright.training.vocabulary import used_tokens_only

ROWS = [[2, 7, 9, 3], [2, 11, 3]]


@pytest.fixture
def bert():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return BertForSequenceClassification(config).train()


def step(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    ids = torch.tensor([ROWS[0], [*ROWS[1], 0]])
    mask = (ids != 0).long()
    for _ in range(3):
        optimizer.zero_grad()
        model(input_ids=ids, attention_mask=mask, labels=torch.tensor([0, 1])).loss.backward()
        optimizer.step()


def test_the_weights_come_out_as_with_all_vectors(bert):
    import copy

    other = copy.deepcopy(bert)
    step(other)
    with used_tokens_only(bert, ROWS, pad_id=0):
        assert bert.get_input_embeddings().weight.shape[0] == 6
        step(bert)
    for name, weight in other.state_dict().items():
        torch.testing.assert_close(bert.state_dict()[name], weight, msg=name)


def test_a_failure_inside_gives_the_whole_table_back(bert):
    whole = bert.get_input_embeddings()
    with pytest.raises(RuntimeError, match="stop"), used_tokens_only(bert, ROWS, pad_id=0):
        raise RuntimeError("stop")
    assert bert.get_input_embeddings() is whole


def test_frozen_and_shared_vectors_stay(bert):
    bert.get_input_embeddings().weight.requires_grad_(False)
    with used_tokens_only(bert, ROWS, pad_id=0):
        assert bert.get_input_embeddings().weight.shape[0] == 50
    shared = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2))
    with used_tokens_only(shared, ROWS, pad_id=0):
        assert shared.get_input_embeddings().weight.shape[0] == 50
