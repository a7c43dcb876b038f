"""Tokenizers: padding rules, limits, and what the checks catch in this data."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.config.schema import ModelConfig
from tunewright.models.catalogue import resolve
from tunewright.models.loading import read_config
from tunewright.models.tokenizers import check_tokenizer, load_tokenizer, text_limit
from tunewright.support.errors import InputError


def opened(name: str, folder):
    config = ModelConfig(name=name)
    base = resolve(config, base_dir=folder)
    return load_tokenizer(base, config), base, config


@pytest.fixture(scope="session")
def texts(messages):
    return [text for _, text in messages]


@pytest.fixture(scope="session")
def minilm(tmp_path_factory):
    return opened("minilm", tmp_path_factory.mktemp("minilm"))


def test_a_tokenizer_that_drops_characters_is_refused_with_share_and_examples(shared, texts):
    tokenizer, base, config = opened("tinystories-656k", shared / "models")
    with pytest.raises(InputError) as caught:
        check_tokenizer(tokenizer, base, texts, config)
    line = str(caught.value)
    assert "drops characters without a trace in 2" in line
    assert "% of the texts" in line
    assert all(letter in line for letter in "&)£/#*(")


def test_a_tokenizer_with_an_unknown_token_is_reported_and_passes(shared, texts):
    tokenizer, base, config = opened("tinystories-656k-fixed-tokenizer", shared / "models")
    report = check_tokenizer(tokenizer, base, texts, config)
    assert report.lost_rows == 0
    assert 0.012 < report.unknown_share < 0.016
    assert report.unknown_rows > 1000
    assert "£" in report.unknown_examples
    assert any("padding token is also the unknown token" in note for note in report.notes)
    assert any("unknown tokens: 1." in line for line in report.lines())


def test_too_many_unknown_tokens_stop_the_run(shared, texts):
    tokenizer, base, config = opened("tinystories-656k-fixed-tokenizer", shared / "models")
    strict = config.model_copy(update={"max_unknown_share": 0.01})
    with pytest.raises(InputError, match=r"1\.4% of the tokens are unknown .* raise model.max_unknown_share"):
        check_tokenizer(tokenizer, base, texts, strict)


def test_sound_tokenizers_pass(shared, texts, minilm):
    for tokenizer, base, config in (opened("stories260K-hf", shared / "models"), minilm):
        report = check_tokenizer(tokenizer, base, texts, config)
        assert report.lost_rows == report.altered_rows == 0
        assert report.unknown_share < 1e-4
        assert report.notes == ()
        assert report.tokens_mean < report.tokens_p95 < report.tokens_max


def test_truncation_is_counted(minilm, texts):
    tokenizer, base, config = minilm
    report = check_tokenizer(tokenizer, base, texts, config.model_copy(update={"max_length": 64}))
    lengths = [len(row) for row in tokenizer(texts)["input_ids"]]
    if report.rows == len(texts):
        assert report.truncated_rows == sum(length > 64 for length in lengths)
    assert 0 < report.truncated_rows < report.rows


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(
        alphabet=st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Z", "M"]), max_size=60
    )
)
def test_a_byte_level_tokenizer_never_loses_a_character(shared, text):
    tokenizer, base, config = cached(shared, "stories260K-hf")
    assert check_tokenizer(tokenizer, base, [text], config).lost_rows == 0


@settings(max_examples=150, deadline=None)
@given(
    st.text(
        alphabet=st.characters(codec="latin-1", min_codepoint=33, exclude_characters="\xad\x7f"), max_size=60
    )
)
def test_what_wordpiece_changes_by_design_is_not_called_lost(text):
    from pathlib import Path

    tokenizer, base, config = cached(Path(), "minilm")
    assert (
        check_tokenizer(tokenizer, base, [text], config.model_copy(update={"max_unknown_share": 1})).lost_rows
        == 0
    )


OPENED: dict = {}


def cached(shared, name):
    if name not in OPENED:
        OPENED[name] = opened(name, shared / "models")
    return OPENED[name]


@settings(max_examples=60, deadline=None)
@given(
    letter=st.sampled_from("&)£/#*(%@"),
    words=st.lists(st.sampled_from(["one", "day", "there", "was"]), min_size=1),
)
def test_a_dropped_character_is_found_wherever_it_stands(shared, letter, words):
    tokenizer, base, config = cached(shared, "tinystories-656k")
    for text in (letter, letter + " ".join(words), " ".join(words) + letter, letter.join(words) + letter):
        with pytest.raises(InputError, match="drops characters"):
            check_tokenizer(tokenizer, base, [text], config)


def test_more_tokens_than_embeddings_are_refused(minilm):
    tokenizer, base, config = minilm
    small = read_config(base.folder)
    small.vocab_size = 30_000
    with pytest.raises(InputError, match="has 30,522 tokens, the model embeds 30,000"):
        check_tokenizer(tokenizer, small, ["a text"], config)


def test_a_tokenizer_far_smaller_than_the_model_is_noted(shared, minilm):
    tokenizer, _, _ = cached(shared, "stories260K-hf")
    _, base, config = minilm
    report = check_tokenizer(tokenizer, base, ["a text"], config)
    assert any("512 of 30,522 embeddings" in note for note in report.notes)


def test_special_tokens_that_the_normaliser_touches_are_noted(shared):
    tokenizer, base, config = cached(shared, "tinystories-656k")
    report = check_tokenizer(tokenizer, base, ["One day there was a girl"], config)
    assert any("<|start_story|>" in note and "normaliser" in note for note in report.notes)


def test_texts_that_spell_out_a_special_token_are_noted(minilm):
    tokenizer, base, config = minilm
    report = check_tokenizer(tokenizer, base, ["please [SEP] me", "plain"], config)
    assert any(note.startswith("1 texts spell out a special token") for note in report.notes)
    assert report.lost_rows == 0


def test_no_texts_make_an_empty_report(minilm):
    tokenizer, base, config = minilm
    report = check_tokenizer(tokenizer, base, [], config)
    assert (report.rows, report.tokens_max, report.unknown_share) == (0, 0, 0)
    assert report.lines()


def test_large_data_is_judged_by_the_same_sample_every_time(minilm):
    tokenizer, base, config = minilm
    many = [f"message number {number}" for number in range(6000)]
    first, second = (check_tokenizer(tokenizer, base, many, config) for _ in range(2))
    assert first == second
    assert (first.rows, first.sampled_from) == (5000, 6000)


def test_a_tokenizer_without_padding_pads_with_its_unknown_token(shared):
    tokenizer, _, _ = cached(shared, "stories260K-hf")
    assert tokenizer.pad_token == "<unk>"


@pytest.mark.parametrize(("kept", "pad"), [("eos_token", "[SEP]"), (None, None)])
def test_without_unknown_token_the_end_token_pads_and_without_both_it_is_refused(
    make_folder, tmp_path, kept, pad
):
    from transformers import AutoTokenizer

    folder = shutil.copytree(make_folder("llama"), tmp_path / "m")
    for name in ("vocab.txt", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **({kept: pad} if kept else {})}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert AutoTokenizer.from_pretrained(folder).pad_token is None
    if kept:
        assert opened("m", tmp_path)[0].pad_token == pad
    else:
        with pytest.raises(InputError, match="no padding, unknown or end token"):
            opened("m", tmp_path)


def test_padding_stands_behind_the_text_even_where_the_files_say_left(shared, tmp_path):
    folder = shutil.copytree(shared / "models" / "stories260K-hf", tmp_path / "m")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"padding_side": "left"}))
    tokenizer, _, _ = opened("m", tmp_path)
    assert tokenizer.padding_side == "right"
    tokenizer.save_pretrained(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())["padding_side"] == "right"


@pytest.mark.parametrize(
    ("kind", "most"), [("bert", 64), ("roberta", 63), ("mpnet", 62), ("gpt2", 64), ("deberta-v2", 64)]
)
def test_the_limit_is_what_the_positions_allow(make_folder, kind, most):
    import torch
    from transformers import AutoModel

    folder = make_folder(kind)
    tokenizer, base, config = opened(str(folder), folder)
    assert text_limit(base, tokenizer, config) == most
    model = AutoModel.from_pretrained(folder).eval()
    model(input_ids=torch.full((1, most), 7))
    if kind != "deberta-v2":  # Its positions are relative: more would run, and was never trained.
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, most + 1), 7))
    with pytest.raises(InputError, match=f"take at most {most}"):
        text_limit(base, tokenizer, ModelConfig(name=str(folder), max_length=most + 1))


def test_the_default_limit_is_256_tokens(minilm):
    tokenizer, base, config = minilm
    assert text_limit(base, tokenizer, config) == 256
    assert text_limit(base, tokenizer, config.model_copy(update={"max_length": 512})) == 512
