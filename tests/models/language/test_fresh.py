"""Models that start from nothing: a tokenizer that loses nothing, a plain folder, and heads that copy."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.config.language import NewModel
from tunewright.config.schema import ModelConfig
from tunewright.data.chat.rows import ChatRow, Message
from tunewright.models.catalogue import resolve
from tunewright.models.chat.preflight import inspect_rows
from tunewright.models.chat.tokenizer import open_chat_tokenizer
from tunewright.models.language.fresh import SPECIAL, fresh_model, fresh_tokenizer, save_fresh
from tunewright.support.digests import digest_bytes, digest_tree
from tunewright.support.errors import InputError

SMALL = NewModel(vocabulary=600, hidden_size=96, layers=2, heads=3, context=256)
ASKED = (
    Message(role="user", content="Where is 4471-A?"),
    Message(role="assistant", content='{"order_id": "4471-A"}'),
)
PROMPTED = Message(role="system", content="Answer in JSON.")


@pytest.fixture(scope="module")
def texts(messages):
    return messages.splitlines()


@pytest.fixture(scope="module")
def messages():
    from importlib.resources import files

    return (files("tunewright") / "demo" / "messages.csv").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tokenizer(texts):
    return fresh_tokenizer(texts, vocabulary=600, context=256)


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    made = tmp_path_factory.mktemp("fresh") / "model"
    save_fresh(made, tokenizer, fresh_model(tokenizer, SMALL, seed=1))
    return made


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_reads_back_to_the_letter(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


@given(number=st.integers(0, 10**12))
def test_each_digit_is_a_token(tokenizer, number):
    ids = tokenizer(f"order {number}-A")["input_ids"]
    digits = [token for token in tokenizer.convert_ids_to_tokens(ids) if re.search(r"\d", token)]
    assert digits == list(str(number))


def test_a_word_is_the_same_tokens_wherever_it_stands(tokenizer):
    word = tokenizer("parcel")["input_ids"]
    for before in (" ", '"', "\n", "(", "  "):
        assert tokenizer(f"the{before}parcel")["input_ids"][-len(word) :] == word


def test_the_same_texts_give_the_same_tokenizer(texts, tokenizer):
    again = fresh_tokenizer(iter(texts), vocabulary=600, context=256)
    first, second = (digest_bytes(each.backend_tokenizer.to_str().encode()) for each in (tokenizer, again))
    assert first == second
    assert len(tokenizer) == 600


def test_padding_ends_nothing_and_a_turns_end_also_ends_a_text(folder):
    chat = open_chat_tokenizer(folder)
    assert chat.faults == ()
    assert chat.setup.changes == ()
    assert chat.setup.notes == ()
    assert (chat.setup.pad_token, chat.setup.eos_token, chat.setup.bos_token) == (
        "<|pad|>",
        "<|im_end|>",
        None,
    )
    assert chat.setup.stop_tokens == ("<|im_end|>", "<|endoftext|>")
    assert chat.setup.context == 256
    assert chat.tokenizer.convert_tokens_to_ids(list(SPECIAL)) == [0, 1, 2, 3]


def test_the_preflight_finds_no_fault(folder):
    chat = open_chat_tokenizer(folder)
    rows = [
        ChatRow(kind="conversation", row=1, messages=ASKED),
        ChatRow(kind="conversation", row=2, messages=(PROMPTED, *ASKED, *ASKED)),
        ChatRow(kind="text", row=3, text="A text of 30 March, with “signs” and £3."),
    ]
    found = inspect_rows(rows, chat, show=2)
    assert found.refusals == ()
    assert found.notes == ()
    assert [each.method for each in found.shown] == ["markers", "markers"]
    alone, prompted = found.shown
    assert alone.text.startswith("<|im_start|>user\nWhere is")
    assert prompted.text.startswith("<|im_start|>system\nAnswer in JSON.<|im_end|>\n<|im_start|>user")


def test_the_folder_opens_with_plain_transformers(folder, tokenizer):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = resolve(ModelConfig(name=str(folder)), base_dir=folder)
    assert base.architecture == "LlamaForCausalLM"
    read, loaded = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    ids = read("Where is 4471-A?", return_tensors="pt")["input_ids"]
    assert ids.tolist() == [tokenizer("Where is 4471-A?")["input_ids"]]
    made = fresh_model(tokenizer, SMALL, seed=1)
    with torch.no_grad():
        assert torch.equal(made(ids).logits, loaded(ids).logits)
    assert loaded.generation_config.eos_token_id == [3, 0]
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
    assert read.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    ) == ("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_the_seed_alone_decides_the_weights(folder, tokenizer, tmp_path):
    import torch

    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    for name, seed in (("same", 1), ("other", 2)):
        save_fresh(tmp_path / name, tokenizer, fresh_model(tokenizer, SMALL, seed=seed))
    assert torch.equal(torch.rand(1), before)
    assert digest_tree(tmp_path / "same") == digest_tree(folder)
    assert digest_tree(tmp_path / "other") != digest_tree(folder)


def test_an_untrained_model_says_again_what_stood_there_before(tokenizer):
    """What the start is for: numbers that it never saw, copied behind the same opening."""
    import random

    import torch

    new = NewModel(vocabulary=600, hidden_size=192, layers=2, heads=6, context=256)
    model, draw = fresh_model(tokenizer, new, seed=3), random.Random(0)
    right = total = 0
    for _ in range(20):
        ids = draw.sample(range(len(SPECIAL), len(tokenizer)), 30)
        twice = torch.tensor([ids + ids])
        with torch.no_grad():
            said = model(twice).logits[0].argmax(-1)
        right += int((said[33:-1] == twice[0, 34:]).sum())
        total += 26
    assert right / total > 0.8


@pytest.mark.parametrize(
    ("sizes", "complaint"),
    [
        ({"hidden_size": 100, "heads": 6}, "model.new.heads: 6 heads don't divide the width 100; take 5"),
        ({"hidden_size": 6, "heads": 6}, "heads of 1 can't be rotated in pairs"),
        ({"hidden_size": 96, "heads": 6, "key_value_heads": 4}, "4 key-value heads don't divide 6 heads"),
    ],
)
def test_sizes_that_dont_fit_are_refused(tokenizer, sizes, complaint):
    with pytest.raises(InputError, match=re.escape(complaint)):
        fresh_model(tokenizer, NewModel.model_construct(**{**NewModel().model_dump(), **sizes}), seed=1)


@pytest.mark.parametrize(
    "sizes",
    [
        {"layers": 1},
        {"heads": 2},
        {"heads": 6, "key_value_heads": 2},
        {"hidden_size": 48, "heads": 6, "intermediate_size": 64},
    ],
)
def test_sizes_without_room_for_copying_start_at_random(tokenizer, sizes):
    import torch

    model = fresh_model(tokenizer, NewModel(**{**SMALL.model_dump(), **sizes}), seed=1)
    with torch.no_grad():
        assert model(torch.tensor([[5, 6, 7]])).logits.isfinite().all()


def test_too_small_a_vocabulary_and_no_text_are_refused():
    with pytest.raises(InputError, match=r"can't hold 256 bytes and 4 special tokens; take 260 or more"):
        fresh_tokenizer(["text"], vocabulary=259, context=64)
    with pytest.raises(InputError, match="there is no text to learn a vocabulary from"):
        fresh_tokenizer(["", ""], vocabulary=300, context=64)
