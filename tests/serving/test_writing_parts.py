"""What stands between the engine's tokens and a reader: text that is certain, and turns that are fair."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.engines.interface import Sampling
from tunewright.engines.sampling import Chooser
from tunewright.engines.token_bytes import TokenBytes
from tunewright.serving.generation.text import TextStream
from tunewright.serving.generation.waiting import WaitingLine
from tunewright.serving.generation.writing import Writing

TEXTS = st.text(st.sampled_from("ab .\né🙂ß字 STOP"), max_size=40) | st.text(max_size=30)


@pytest.fixture(scope="module", params=["bytes", "pieces"])
def tokenizer(request, shared, tmp_path_factory):
    """Byte-level (GPT-2's way) and SentencePiece's way with bytes for what it doesn't know."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if request.param == "pieces":
        return AutoTokenizer.from_pretrained(shared / "models" / "stories260K-hf")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        ["a STOP b. a b ab é 🙂"] * 9, trainers.BpeTrainer(vocab_size=300, initial_alphabet=letters)
    )
    return PreTrainedTokenizerFast(tokenizer_object=made)


def parts_of(tokenizer, text, cuts):
    """Split a text's token ids into the pieces in which they come."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    places = sorted({min(each, len(ids)) for each in cuts} | {0, len(ids)})
    return ids, [ids[one:other] for one, other in itertools.pairwise(places)]


@settings(max_examples=200, deadline=None)
@given(before=st.text("ab é", max_size=6), text=TEXTS, cuts=st.lists(st.integers(0, 60), max_size=12))
def test_what_streams_is_what_decoding_at_the_end_gives(tokenizer, before, text, cuts):
    first = tokenizer(before, add_special_tokens=False)["input_ids"]
    ids, pieces = parts_of(tokenizer, text, cuts)
    stream = TextStream(lambda each: tokenizer.decode(list(each)), before=first[-8:])
    said = [stream.add(piece).text for piece in pieces] + [stream.end().text]
    context = first[-8:]
    whole = tokenizer.decode([*context, *ids])
    assert "".join(said) == whole[len(tokenizer.decode(context)) :]


@settings(max_examples=200, deadline=None)
@given(
    text=TEXTS,
    cuts=st.lists(st.integers(0, 60), max_size=12),
    stops=st.lists(st.sampled_from(["STOP", "OP", "b.", "\n", "🙂"]), max_size=3),
    strips=st.booleans(),
)
def test_stop_words_end_it_wherever_the_pieces_are_cut(tokenizer, text, cuts, stops, strips):
    ids, pieces = parts_of(tokenizer, text, cuts)
    stream = TextStream(lambda each: tokenizer.decode(list(each)), stops, strips=strips)
    said = ""
    for piece in [*pieces, None]:
        part = stream.end() if piece is None else stream.add(piece)
        said += part.text
        if part.stopped:
            break
    whole = tokenizer.decode(ids)
    whole = whole.strip() if strips else whole
    ends = [at for stop in stops if (at := whole.find(stop)) >= 0]
    wanted = whole[: min(ends)] if ends else whole
    if part.stopped:
        # Where one stop word begins within another, the one that was whole first ends it.
        assert any(whole.startswith(stop, len(said)) for stop in stops) or wanted.rstrip() == said
    else:
        assert said == wanted


@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_the_bytes_of_tokens_are_those_of_the_text(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    data = b"".join(map(TokenBytes(tokenizer).of, ids)).decode("utf-8", "replace")
    assert data.lstrip(" ") == tokenizer.decode(ids).lstrip(" ")


def test_a_draw_that_goes_on_draws_what_it_would_have_drawn():
    import numpy as np

    logits = np.random.default_rng(1).normal(size=(20, 50)).astype(np.float32)
    plain = Sampling(temperature=1.0, seed=9)
    whole = Chooser(plain)
    tokens = [whole.choose(row)[0] for row in logits]
    later = Chooser(Sampling(temperature=1.0, seed=9, written=13))
    assert [later.choose(row)[0] for row in logits[13:]] == tokens[13:]
    assert len(set(tokens)) > 5


def test_turns_are_shared_between_callers():
    async def run():
        line = WaitingLine()
        for caller, count in (("many", 20), ("few", 3)):
            for _ in range(count):
                line.add(Writing((1, 2), Sampling(max_new_tokens=8), caller, 0.0, None))
        order = [line.pop().caller for _ in range(23)]
        assert Counter(order[:6]) == {"many": 3, "few": 3}
        assert not line
        assert line.tokens == 0

    asyncio.run(run())
