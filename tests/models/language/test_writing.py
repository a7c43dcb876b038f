"""What a language model writes: the prompt is read whole, and nobody writes beyond what the model reads."""

from __future__ import annotations

import pytest

from tunewright.data.chat.rows import ChatRow

LONG = " ".join(["Lily saw a big red ball in the park."] * 6)


@pytest.fixture(scope="module")
def model(stories):
    from tunewright.models.chat.tokenizer import open_chat_tokenizer
    from tunewright.models.language.loading import load_causal
    from tunewright.models.language.model import LanguageModel

    chat = open_chat_tokenizer(stories)
    return LanguageModel(chat, load_causal(stories, chat), max_length=80)


def row(text):
    return ChatRow(kind="completion", prompt=text)


@pytest.mark.parametrize("asked_for", [40, 80, 400])
def test_a_long_wish_cuts_the_answer_and_never_the_prompt(model, asked_for):
    prompts = [
        model.prompt(row(text)).ids for text in ("Once upon a time", "Lily saw a big red ball", LONG[:160])
    ]
    together = model.write_ids(prompts, max_new_tokens=asked_for, batch_size=3)
    for ids, new in zip(prompts, together, strict=True):
        assert 0 < len(new) <= min(asked_for, 80 - len(ids))
        assert model.write_ids([ids], max_new_tokens=len(new), batch_size=1) == [new]
        assert new[-1] in model.chat.setup.stop_ids or len(new) == min(asked_for, 80 - len(ids))


def test_a_prompt_without_room_gets_an_empty_unfinished_answer(model):
    assert len(model.prompt(row(LONG)).ids) >= 80
    none, some = model.write([row(LONG), row("Once upon a time")], max_new_tokens=8)
    assert (none.text, none.tokens, none.finished) == ("", 0, False)
    assert some.tokens == 8
