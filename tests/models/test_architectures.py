"""Heads, adapters, padding and the frozen baseline on many architectures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tunewright.config.data import Cleaning
from tunewright.config.schema import Lora
from tunewright.data.dataset import Examples
from tunewright.models.adapters import add_lora
from tunewright.models.classifier import Classifier
from tunewright.models.frozen import fit_head
from tunewright.models.heads import digest_weights, encoder_weights, head_names
from tunewright.models.loading import load_encoder
from tunewright.models.tokenizers import load_tokenizer
from tunewright.support.errors import InputError

LABELS = ("greeting", "offer", "question")
CLEANING = Cleaning().model_dump()
HEADS = {
    "bert": ("bert.pooler", "classifier"),
    "distilbert": ("pre_classifier", "classifier"),
    "roberta": ("classifier",),
    "xlm-roberta": ("classifier",),
    "electra": ("classifier",),
    "deberta-v2": ("pooler", "classifier"),
    "modernbert": ("head", "classifier"),
    "mpnet": ("classifier",),
    "xlnet": ("sequence_summary", "logits_proj"),
    "gpt2": ("score",),
    "llama": ("score",),
    "t5": ("classification_head",),
}
every_architecture = pytest.mark.parametrize("kind", sorted(HEADS))


def classifier_of(base, config, model=None):
    model = model or load_encoder(base, LABELS, config, seed=1)
    return Classifier(load_tokenizer(base, config), model, LABELS, 32, CLEANING, base=base)


def weights_of(model):
    return digest_weights(iter(sorted(model.state_dict().items())))


def trained(model):
    """Move every weight that training would move."""
    import torch

    torch.manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.05)
    return model


@every_architecture
def test_the_head_is_found_and_depends_on_the_seed_alone(make_base, kind):
    import torch

    base, config = make_base(kind)
    first = load_encoder(base, LABELS, config, seed=1)
    state = torch.get_rng_state()
    again, other = (load_encoder(base, LABELS, config, seed=seed) for seed in (1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert head_names(first) == HEADS[kind]
    assert weights_of(first) == weights_of(again) != weights_of(other)
    assert digest_weights(encoder_weights(first)) == digest_weights(encoder_weights(other))
    assert {weight.dtype for weight in first.parameters()} == {torch.float32}
    assert not first.training
    assert first.config.pad_token_id == 0


@every_architecture
def test_answers_do_not_depend_on_neighbours(make_base, sentences, kind):
    scorer = classifier_of(*make_base(kind))
    alone = scorer.logits(sentences[0], batch_size=1)
    scale = np.abs(alone).max()
    np.testing.assert_allclose(scorer.logits(sentences[0], batch_size=17) / scale, alone / scale, atol=1e-5)


@every_architecture
def test_an_adapter_comes_back_on_its_raw_base_and_on_the_fitted_baseline(
    make_base, sentences, tmp_path, kind
):
    base, config = make_base(kind)
    texts, labels = sentences
    adapted = trained(add_lora(load_encoder(base, LABELS, config, seed=1), Lora(), seed=3))
    scorer = classifier_of(base, config, adapted)
    rows = Examples(tuple(range(60)), tuple(texts), tuple(labels), ("",) * 60)
    fit_head(base, rows, LABELS, config, seed=0, cleaning=CLEANING).save(tmp_path / "base")
    scorer.save(tmp_path / "adapter")
    files = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert "model.safetensors" not in files
    assert "README.md" not in files


def test_an_adapter_refuses_another_base(make_base, make_folder, tmp_path):
    base, config = make_base("bert")
    scorer = classifier_of(base, config, add_lora(load_encoder(base, LABELS, config, seed=1), Lora(), seed=3))
    scorer.save(tmp_path / "adapter")
    other = classifier_of(base, config, trained(load_encoder(base, LABELS, config, seed=1)))
    other.save(tmp_path / "other")
    with pytest.raises(InputError, match="the adapter was trained on"):
        Classifier.load(tmp_path / "adapter", base_folder=tmp_path / "other")
    with pytest.raises(InputError, match="is an adapter and needs the model it was trained on"):
        Classifier.load(tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"x" * 50)
    with pytest.raises(InputError, match="can't be opened"):
        Classifier.load(tmp_path / "adapter", base_folder=base.folder)


def test_an_adapter_opens_with_plain_peft(make_base, sentences, tmp_path):
    from peft import PeftModel

    base, config = make_base("bert")
    scorer = classifier_of(
        base, config, trained(add_lora(load_encoder(base, LABELS, config, seed=1), Lora(), seed=3))
    )
    scorer.save(tmp_path / "adapter")
    plain = PeftModel.from_pretrained(load_encoder(base, LABELS, config, seed=9), tmp_path / "adapter").eval()
    opened = classifier_of(base, config, plain)
    np.testing.assert_allclose(opened.logits(sentences[0]), scorer.logits(sentences[0]), atol=1e-6)
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == base.name


def test_adapters_depend_on_the_seed_alone(make_base):
    base, config = make_base("distilbert")
    digests = [
        weights_of(add_lora(load_encoder(base, LABELS, config, seed=1), Lora(), seed=seed))
        for seed in (3, 3, 4)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_named_layers_are_adapted_and_unknown_ones_refused(make_base):
    base, config = make_base("bert")
    some = add_lora(
        load_encoder(base, LABELS, config, seed=1), Lora(target_modules=("query", "value")), seed=3
    )
    adapted = {
        name.split(".lora_A")[0].rsplit(".", 1)[-1] for name, _ in some.named_parameters() if "lora_A" in name
    }
    assert adapted == {"query", "value"}
    with pytest.raises(InputError, match=r"no linear layer 'q_proj'; take some of dense, key, query, value"):
        add_lora(load_encoder(base, LABELS, config, seed=1), Lora(target_modules=("q_proj",)), seed=3)
    with pytest.raises(InputError, match="did you mean 'query'"):
        add_lora(load_encoder(base, LABELS, config, seed=1), Lora(target_modules=("querry",)), seed=3)


def test_a_checkpoint_keeps_its_head_for_the_same_labels_only(make_base, tmp_path):
    import torch

    from tunewright.config.schema import ModelConfig
    from tunewright.models.catalogue import resolve

    base, config = make_base("bert")
    tuned = classifier_of(base, config)
    tuned.save(tmp_path / "tuned")
    again = resolve(ModelConfig(name="tuned"), base_dir=tmp_path)
    head = tuned.model.classifier.weight
    kept = load_encoder(again, LABELS, config, seed=8)
    assert torch.equal(kept.classifier.weight, head)
    for labels in (LABELS[::-1], ("x", "y", "z"), ("a", "b")):
        assert not torch.equal(load_encoder(again, labels, config, seed=8).classifier.weight[:2], head[:2])


def test_an_encoder_that_looks_at_padding_is_refused(shared, tmp_path):
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    from tunewright.config.schema import ModelConfig
    from tunewright.models.catalogue import resolve

    torch.manual_seed(0)
    settings = {"vocab_size": 30522, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64}
    AutoModel.from_config(AutoConfig.for_model("fnet", **settings)).save_pretrained(tmp_path / "fnet")
    AutoTokenizer.from_pretrained(shared / "models" / "tokenizer-bert-base-uncased").save_pretrained(
        tmp_path / "fnet"
    )
    config = ModelConfig(name="fnet")
    with pytest.raises(InputError, match="change with padding"):
        load_encoder(resolve(config, base_dir=tmp_path), LABELS, config, seed=0)


def test_a_label_without_training_rows_is_never_predicted(make_base, sentences):
    base, config = make_base("bert")
    texts, labels = sentences
    rows = Examples(tuple(range(60)), tuple(texts), tuple(2 * (label > 0) for label in labels), ("",) * 60)
    fitted = fit_head(base, rows, LABELS, config, seed=0, cleaning=CLEANING)
    assert set(fitted.logits(texts).argmax(axis=1)) == {0, 2}
    one = Examples(tuple(range(60)), tuple(texts), (1,) * 60, ("",) * 60)
    with pytest.raises(InputError, match="one label only"):
        fit_head(base, one, LABELS, config, seed=0, cleaning=CLEANING)


@pytest.mark.slow
def test_the_untouched_minilm_tells_spam_on_real_messages(messages):
    from tunewright.config.schema import ModelConfig
    from tunewright.models.catalogue import resolve

    def rows(part):
        texts = tuple(text for _, text in part)
        return Examples(
            tuple(range(len(part))), texts, tuple(int(name == "spam") for name, _ in part), ("",) * len(part)
        )

    config = ModelConfig()
    train, test = rows(messages[:600]), rows(messages[600:1000])
    fitted = fit_head(
        resolve(config, base_dir=Path()),
        train,
        ("ham", "spam"),
        config,
        seed=0,
        cleaning=CLEANING,
    )
    found = fitted.logits(test.texts).argmax(axis=1)
    assert np.mean(found == test.labels) > 0.94
