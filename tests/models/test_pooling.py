"""A base that was trained with mean pooling keeps what it knows when it becomes a classifier."""

from __future__ import annotations

import json
import shutil

import pytest

from tunewright.config.schema import ModelConfig
from tunewright.models.catalogue import resolve
from tunewright.models.loading import load_encoder
from tunewright.models.pooling import DECLARATION


@pytest.fixture
def sentence_encoder(tiny_base, tmp_path):
    """The tiny BERT, declared as Sentence Transformers declare a mean-pooled model."""
    folder = tmp_path / "sentence-encoder"
    shutil.copytree(tiny_base, folder)
    (folder / DECLARATION).parent.mkdir()
    (folder / DECLARATION).write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    return folder


def classifier_of(folder, tmp_path):
    config = ModelConfig(name=str(folder))
    return load_encoder(resolve(config, base_dir=tmp_path), ("no", "yes"), config, seed=0)


def test_the_first_token_points_where_the_mean_of_all_tokens_does(sentence_encoder, tiny_base, tmp_path):
    import torch

    ids = torch.tensor([[2, 17, 250, 31, 9, 3]])
    pooled, plain = classifier_of(sentence_encoder, tmp_path), classifier_of(tiny_base, tmp_path)
    with torch.inference_mode():
        mean = plain.bert(ids).last_hidden_state.mean(dim=1)
        first = pooled.bert(ids).last_hidden_state[:, 0]
    centred = mean - mean.mean()
    assert torch.cosine_similarity(first, centred).item() > 0.98


def test_padding_does_not_enter_the_mean(sentence_encoder, tmp_path):
    import torch

    model = classifier_of(sentence_encoder, tmp_path)
    ids, mask = torch.tensor([[2, 17, 250, 3, 0, 0]]), torch.tensor([[1, 1, 1, 1, 0, 0]])
    with torch.inference_mode():
        padded = model(ids, attention_mask=mask).logits
        alone = model(ids[:, :4]).logits
    assert torch.allclose(padded, alone, atol=1e-5)


def test_the_result_is_a_plain_bert_that_transformers_opens(sentence_encoder, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification

    model = classifier_of(sentence_encoder, tmp_path)
    model.save_pretrained(tmp_path / "saved")
    opened = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    ids = torch.tensor([[2, 17, 250, 3]])
    with torch.inference_mode():
        assert torch.allclose(opened(ids).logits, model(ids).logits, atol=1e-6)


def test_a_base_that_says_nothing_about_pooling_stays_as_it_is(tiny_base, tmp_path):
    assert classifier_of(tiny_base, tmp_path).config.num_hidden_layers == 2
