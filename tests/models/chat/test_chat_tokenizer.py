"""Tokenizers for causal training: padding that ends nothing, stop tokens, and what is said of each change."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import pytest
from words_and_turns import CHATML, word_tokenizer

from tunewright.models.chat.families import CAUSAL_CATALOGUE, FAMILIES, find_causal, find_family
from tunewright.models.chat.tokenizer import open_chat_tokenizer
from tunewright.support.errors import InputError


def test_a_padding_token_of_its_own_stays(open_with):
    setup = open_with().setup
    assert (setup.pad_token, setup.pad_source, setup.changes) == ("<pad>", "own", ())


def test_a_padding_token_that_ends_answers_is_replaced_and_that_is_said(make_folder):
    tokenizer = word_tokenizer(pad_token="<|im_end|>")
    chat = open_chat_tokenizer(make_folder(tokenizer))
    assert (chat.setup.pad_token, chat.setup.pad_source) == ("<pad>", "reserved")
    assert chat.setup.pad_id not in chat.setup.stop_ids
    assert chat.setup.changes == ("padding token <pad> (reserved): <|im_end|> ends texts",)


def test_the_templates_turn_end_isnt_taken_for_padding(make_folder):
    tokenizer = word_tokenizer(eos="<|endoftext|>", pad_token="<|im_end|>")
    chat = open_chat_tokenizer(make_folder(tokenizer))
    assert chat.setup.turn_end == "<|im_end|>"
    assert chat.setup.stop_tokens == ("<|endoftext|>", "<|im_end|>")
    assert chat.setup.pad_token == "<pad>"
    assert any("add it to generation_config.json" in note for note in chat.setup.notes)


def test_an_unknown_token_pads_only_where_every_byte_has_a_token(stories, shared, tmp_path):
    assert open_chat_tokenizer(stories).setup.pad_source == "unknown"
    folder = copy_without_pad(shared / "models" / "tinystories-656k-fixed-tokenizer", tmp_path / "m")
    setup = open_chat_tokenizer(folder).setup
    assert (setup.pad_token, setup.pad_source) == ("<|pad|>", "added"), "its byte fallback has no byte tokens"


def copy_without_pad(source, folder):
    folder.mkdir()
    for name in ("tokenizer.json", "config.json", "generation_config.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    settings = json.loads((source / "tokenizer_config.json").read_text())
    settings.pop("pad_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_a_new_token_says_how_far_the_embeddings_must_grow(shared, tmp_path):
    folder = copy_without_pad(shared / "models" / "tinystories-656k-fixed-tokenizer", tmp_path / "m")
    chat = open_chat_tokenizer(folder)
    assert (chat.setup.embedding_rows, chat.setup.rows_needed, chat.setup.pad_id) == (2048, 2049, 2048)
    assert chat.setup.changes == (
        "padding token <|pad|> (added): there was none",
        "the embeddings must grow from 2,048 to 2,049 rows for <|pad|>",
    )
    chat.tokenizer.save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())
    assert (saved["pad_token"], saved["padding_side"]) == ("<|pad|>", "right")


def test_a_new_token_fits_where_embeddings_are_spare(make_folder):
    tokenizer = word_tokenizer(None, pad_token=None, special=("<s>", "<unk>", "<|im_end|>"))
    setup = open_chat_tokenizer(make_folder(tokenizer, rows=64)).setup
    assert (setup.pad_token, setup.pad_id, setup.rows_needed) == ("<|pad|>", 20, None)


def test_opening_leaves_the_files_alone(make_folder):
    folder = make_folder(word_tokenizer(pad_token="<|im_end|>"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    open_chat_tokenizer(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_padding_stands_on_the_right_whatever_the_files_say(make_folder):
    tokenizer = word_tokenizer()
    tokenizer.padding_side = "left"
    folder = make_folder(tokenizer)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"padding_side": "left"}))
    chat = open_chat_tokenizer(folder)
    assert chat.tokenizer.padding_side == "right"
    assert chat.setup.changes == ("padding stands on the right, no longer on the left",)


def test_generation_settings_name_more_stop_tokens(make_folder):
    folder = make_folder(word_tokenizer())
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [4, 5]}))
    setup = open_chat_tokenizer(folder).setup
    assert setup.stop_tokens == ("<|im_end|>", "<|endoftext|>")
    assert setup.stop_ids == (4, 5)


def test_an_opening_token_that_generation_stops_at_ends_no_answer(stories):
    assert open_chat_tokenizer(stories).setup.stop_tokens == ("</s>",)


def test_more_token_ids_than_embeddings_are_refused(make_folder):
    with pytest.raises(InputError, match="gives token id 19, the model embeds 19"):
        open_chat_tokenizer(make_folder(word_tokenizer(), rows=19))


def test_a_folder_without_tokenizer_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="tokenizer can't be loaded"):
        open_chat_tokenizer(tmp_path)


def test_a_damaged_tokenizer_file_is_refused_in_one_line(make_folder):
    folder = make_folder()
    (folder / "tokenizer.json").write_text('{"model": 3')
    with pytest.raises(InputError, match="tokenizer can't be loaded"):
        open_chat_tokenizer(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: can't be read"):
        open_chat_tokenizer(folder)


def test_code_that_comes_with_a_tokenizer_isnt_run(make_folder, tmp_path):
    folder = make_folder()
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text()) | {"auto_map": {"AutoTokenizer": ["own.Own", "own.Own"]}}
    path.write_text(json.dumps(settings | {"tokenizer_class": "Own"}))
    with pytest.raises(InputError, match="tokenizer can't be loaded"):
        open_chat_tokenizer(folder)
    assert not (tmp_path / "ran").exists()


def test_a_template_file_wins_over_the_tokenizers_own(make_folder, tmp_path):
    path = tmp_path / "own.jinja"
    path.write_text("{{ messages[0].content }}")
    chat = open_chat_tokenizer(make_folder(), template=path)
    assert chat.template is not None
    assert chat.template.source == "{{ messages[0].content }}"
    with pytest.raises(InputError, match="can't be read as a chat template"):
        open_chat_tokenizer(tmp_path / "model", template=tmp_path / "absent.jinja")


def test_what_was_changed_cant_be_changed(open_with):
    with pytest.raises(FrozenInstanceError):
        open_with().setup.pad_id = 3


def test_a_template_that_writes_the_date_is_noted(open_with):
    assert any("today's date" in note for note in open_with("{{ strftime_now('%d') }}" + CHATML).setup.notes)


def test_a_family_is_known_by_its_tokens_or_its_name(make_folder):
    tokenizer = word_tokenizer()
    folder = make_folder(tokenizer, model_type="qwen2")
    assert open_chat_tokenizer(folder).setup.family == "qwen"
    setup = open_chat_tokenizer(folder, name="TinyLlama/TinyLlama-1.1B-Chat-v1.0").setup
    assert setup.family == "tinyllama"
    assert find_family("anything", "llama", {"<|eot_id|>", "<|begin_of_text|>"}) == FAMILIES["llama-3"]
    assert find_family("anything", "llama", {"<s>", "</s>"}) is None


def test_every_entry_has_a_family_and_is_found_by_both_names():
    for name, entry in CAUSAL_CATALOGUE.items():
        assert find_causal(name) == find_causal(entry.hub_id) == entry
        family = FAMILIES[entry.family]
        assert not set(family.pad_tokens) & set(family.stop_tokens)
        assert family.lora_modules


def test_an_unknown_family_takes_its_settings_from_its_own_files(stories):
    setup = open_chat_tokenizer(stories).setup
    assert (setup.family, setup.lora_modules) == (None, ("all-linear",))
    assert (setup.adds_bos, setup.bos_token, setup.embedding_rows) == (True, "<s>", 512)
