"""A language model that starts from nothing: a tokenizer trained on the rows, Llama's architecture, a plain folder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.models.language.copying import can_copy_from_the_start, start_copying
from tunewright.models.loading import seeded
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    from tunewright.config.language import NewModel

TEXT_END, PAD, TURN_START, TURN_END = "<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"
SPECIAL = (TEXT_END, PAD, TURN_START, TURN_END)
"""Their ids are 0 to 3."""
BYTES = 256
ROPE_BASE = 10_000.0
"""Llama's base for contexts of up to a few thousand tokens (arXiv:2104.09864)."""
FEED_FORWARD_SHARE = 8 / 3
"""Three matrices of this width hold as many weights as the usual two of four times the width (arXiv:2002.05202)."""
FEED_FORWARD_STEP = 32
"""Widths that processors multiply well."""
PIECES = r"\d|[\p{L}\p{M}]+|\s+|[^\s\p{L}\p{M}\d]+"
"""What no token reaches beyond: a digit, a word, spaces, other signs. A word is the same tokens behind a space as
behind a quotation mark, so that heads which copy what they read need not learn both."""
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML with the marks that say what the assistant speaks; it has no system prompt of its own."""


def fresh_tokenizer(texts: Iterable[str], *, vocabulary: int, context: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer (arXiv:1508.07909, on bytes as in GPT-2) that reads any text back exactly.

    Each digit is a token of its own, so that a number that never occurred is copied as easily as one that did, and
    a space is never part of a word's tokens (``PIECES``).
    A turn's end, ``<|im_end|>``, also ends a plain text: so pre-training teaches the stop token that answers need.
    Nothing is put before a text. The same texts in the same order give the same tokenizer.

    Args:
        texts: Read once.
        vocabulary: Tokens at most; fewer where the texts hold fewer pairs worth a token.
        context: Tokens that the model is made to read.

    Raises:
        InputError: When the vocabulary doesn't hold every byte, or there is no text.
    """
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        processors,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    least = BYTES + len(SPECIAL)
    if vocabulary < least:
        raise InputError(
            f"a vocabulary of {vocabulary:,} can't hold {BYTES} bytes and {len(SPECIAL)} special tokens",
            place="model.new.vocabulary",
            mend=f"take {least} or more",
        )
    special = [AddedToken(token, special=True, normalized=False) for token in SPECIAL]
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    learned.post_processor = processors.ByteLevel(trim_offsets=False)
    learned.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learned.train_from_iterator(_some(texts), trainer)
    make: Any = PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerFast = make(
        tokenizer_object=learned,
        eos_token=special[SPECIAL.index(TURN_END)],
        pad_token=special[SPECIAL.index(PAD)],
        additional_special_tokens=[special[SPECIAL.index(token)] for token in (TEXT_END, TURN_START)],
        model_max_length=context,
        padding_side="right",
        truncation_side="right",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def fresh_model(tokenizer: PreTrainedTokenizerFast, new: NewModel, *, seed: int) -> LlamaForCausalLM:
    """Make a model of Llama's architecture (arXiv:2302.13971) with weights drawn from ``seed`` alone.

    Input and output embeddings are one table. Weights are normal with variance 2 / (5 width) ("small init",
    arXiv:1910.05895). Where the sizes leave room, two layers start with heads that can copy
    (``tunewright.models.language.copying``), and all others add next to nothing yet.

    Args:
        tokenizer: From ``fresh_tokenizer``; it says how many embeddings there are.
        new: The sizes.
        seed: Draws the weights; the process's own random numbers are left alone.

    Returns:
        An fp32 model in evaluation mode, which stops at the end of a turn and at the end of a text.

    Raises:
        InputError: When the heads don't fit the width, or each other.
    """
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    _require_heads_fit(new)
    std = math.sqrt(2 / (5 * new.hidden_size))
    configure: Any = LlamaConfig
    config = configure(
        vocab_size=len(tokenizer),
        hidden_size=new.hidden_size,
        intermediate_size=new.intermediate_size or _feed_forward_width(new.hidden_size),
        num_hidden_layers=new.layers,
        num_attention_heads=new.heads,
        num_key_value_heads=new.key_value_heads or new.heads,
        max_position_embeddings=new.context,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
        initializer_range=std,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=torch.float32,
    )
    with seeded(seed):
        model: LlamaForCausalLM = LlamaForCausalLM(config)
        if can_copy_from_the_start(config):
            start_copying(model, seed=seed)
    stop: Any = GenerationConfig
    model.generation_config = stop(
        eos_token_id=[tokenizer.convert_tokens_to_ids(token) for token in (TURN_END, TEXT_END)],
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )
    model.train(mode=False)
    return model


def save_fresh(folder: Path, tokenizer: PreTrainedTokenizerFast, model: LlamaForCausalLM) -> None:
    """Write model and tokenizer as a plain Transformers folder, which ``model.name`` can name."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _some(texts: Iterable[str]) -> Iterator[str]:
    """Give the texts, and refuse none at all.

    Raises:
        InputError: When all are empty.
    """
    found = False
    for text in texts:
        found = found or bool(text)
        yield text
    if not found:
        raise InputError("there is no text to learn a vocabulary from", place="data.source", mend="add rows")


def _require_heads_fit(new: NewModel) -> None:
    """Refuse heads that don't divide the width, keys that don't divide the heads, and heads that can't be rotated."""
    if new.hidden_size % new.heads:
        fact = f"{new.heads} heads don't divide the width {new.hidden_size}"
        raise InputError(fact, place="model.new.heads", mend=f"take {_nearest_heads(new)}")
    if new.hidden_size // new.heads % 2:
        width = new.hidden_size // new.heads
        fact = f"heads of {width} can't be rotated in pairs: {new.heads} in width {new.hidden_size}"
        raise InputError(fact, place="model.new.heads", mend=f"take {_nearest_heads(new)}")
    if new.heads % (new.key_value_heads or new.heads):
        raise InputError(
            f"{new.key_value_heads} key-value heads don't divide {new.heads} heads",
            place="model.new.key_value_heads",
            mend="take a divisor, or null",
        )


def _nearest_heads(new: NewModel) -> str:
    """Name the nearest number of heads that fits the width."""
    fitting = [n for n in range(1, new.hidden_size + 1) if new.hidden_size % (2 * n) == 0]
    if not fitting:
        return "an even model.new.hidden_size"
    return str(min(fitting, key=lambda n: (abs(n - new.heads), n)))


def _feed_forward_width(width: int) -> int:
    """Return 8/3 of the width, rounded up."""
    return math.ceil(FEED_FORWARD_SHARE * width / FEED_FORWARD_STEP) * FEED_FORWARD_STEP
