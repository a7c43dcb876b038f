"""Model folders that are incomplete, damaged, or hold more than plain weights."""

from __future__ import annotations

import json
import pickle
import shutil

import pytest

from tunewright.config.schema import ModelConfig
from tunewright.models.catalogue import resolve
from tunewright.models.loading import load_encoder
from tunewright.models.tokenizers import load_tokenizer
from tunewright.support.errors import InputError

LABELS = ("no", "yes")


@pytest.fixture
def folder(make_folder, tmp_path):
    """A whole model to damage."""
    return shutil.copytree(make_folder("bert"), tmp_path / "model")


def find(folder):
    return resolve(ModelConfig(name=str(folder)), base_dir=folder)


def load(folder):
    return load_encoder(find(folder), LABELS, ModelConfig(name=str(folder)), seed=0)


def test_truncated_weights_are_refused_before_anything_is_loaded(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"model\.safetensors: is truncated or damaged"):
        find(folder)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"\xff" * 64])
def test_a_file_that_is_no_safetensors_is_refused(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="is truncated or damaged"):
        find(folder)


def test_a_missing_configuration_says_what_the_folder_is_instead(folder):
    (folder / "config.json").rename(folder / "adapter_config.json")
    with pytest.raises(InputError, match=r"has no config\.json; it is an adapter"):
        find(folder)
    (folder / "adapter_config.json").unlink()
    (folder / "inner").mkdir()
    (folder / "inner" / "config.json").write_text("{}")
    with pytest.raises(InputError, match="did you mean its folder 'inner'"):
        find(folder)


def test_missing_weights_are_named(folder):
    (folder / "model.safetensors").rename(folder / "tf_model.h5")
    with pytest.raises(InputError, match=r"has no model\.safetensors \(only tf_model\.h5\)"):
        find(folder)


def test_a_missing_shard_is_named(folder):
    weights = folder / "model.safetensors"
    weights.rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"lacks model-00002-of-00002\.safetensors"):
        find(folder)


def test_plain_pickled_weights_load(folder):
    import torch
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert find(folder).parameters is None
    assert load(folder).config.num_labels == 2


def test_a_pickle_that_runs_code_is_refused_and_not_run(folder, tmp_path):
    marker = tmp_path / "ran"

    class Attack:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Attack()))
    with pytest.raises(InputError, match=r"could run code.*save_pretrained\(FOLDER\) writes safetensors"):
        find(folder)
    assert not marker.exists()


def test_an_encoder_with_missing_tensors_is_refused_instead_of_made_up(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lack 1 tensors of the encoder .*layer\.1\.output\.dense\.weight"):
        load(folder)


def test_weights_of_another_size_are_refused(folder):
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"intermediate_size": 128}))
    with pytest.raises(InputError, match="tensors of the encoder or have them in another shape"):
        load(folder)


def test_weights_that_are_not_numbers_are_refused(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.0.output.dense.bias"][3] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"layer\.0\.output\.dense\.bias holds numbers that aren't finite"):
        load(folder)


def test_tied_embeddings_stored_under_the_output_layer_are_kept(shared):
    """Transformers leaves them at random and says so in a note only."""
    import torch
    from safetensors.torch import load_file

    folder = shared / "models" / "tinystories-656k-fixed-tokenizer"
    stored = load_file(folder / "model.safetensors")
    assert "model.embed_tokens.weight" not in stored
    assert torch.equal(load(folder).model.embed_tokens.weight, stored["lm_head.weight"])


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'{"model": {"type": "Strange"}}'])
def test_a_damaged_tokenizer_gives_one_line(folder, content):
    (folder / "tokenizer.json").write_bytes(content)
    for name in ("vocab.txt", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(InputError) as caught:
        load_tokenizer(find(folder), ModelConfig(name=str(folder)))
    assert "tokenizer" in str(caught.value)


def test_an_unknown_architecture_is_named(folder):
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"model_type": "strangebert"}))
    with pytest.raises(InputError, match="strangebert"):
        load(folder)


def test_an_architecture_without_classifier_is_refused_by_name(folder):
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"model_type": "mamba"}))
    with pytest.raises(InputError, match="no text classifier for 'mamba'"):
        load(folder)


def test_code_that_comes_with_a_model_does_not_run_unasked(folder, tmp_path):
    marker = tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(marker)!r}, 'w')\nclass Own: pass\n")
    settings = json.loads((folder / "config.json").read_text())
    own = {
        "AutoConfig": "own.Own",
        "AutoModelForSequenceClassification": "own.Own",
        "AutoTokenizer": "own.Own",
    }
    (folder / "config.json").write_text(json.dumps(settings | {"model_type": "own", "auto_map": own}))
    with pytest.raises(
        InputError, match=r"brings its own code; read it, then set model\.trust_remote_code=true"
    ):
        load(folder)
    assert not marker.exists()


def test_one_label_is_not_enough(folder):
    with pytest.raises(InputError, match="at least two labels"):
        load_encoder(find(folder), ("only",), ModelConfig(name=str(folder)), seed=0)
