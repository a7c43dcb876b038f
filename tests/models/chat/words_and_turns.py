"""A tokenizer of few words with chat templates, rows to read with it, and what a mask says of them."""

from __future__ import annotations

from tunewright.data.chat.rows import ChatRow, Message

WORDS = (
    "Ada",
    "asks",
    "for",
    "tea",
    "and",
    "gets",
    "milk",
    "now",
    "user",
    "assistant",
    "system",
    "tool",
    "be",
    "brief",
)
SPECIAL = ("<unk>", "<s>", "<pad>", "<|im_start|>", "<|im_end|>", "<|endoftext|>")
HEAD = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
    "{% endfor %}" + HEAD
)
MARKED = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message.content + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}" + HEAD
)


def word_tokenizer(
    template: str | None = CHATML,
    *,
    adds_bos: bool = False,
    eos: str = "<|im_end|>",
    pad_token: str | None = "<pad>",
    special: tuple[str, ...] = SPECIAL,
):
    """Give one token to each word of ``WORDS`` and to each special token; white space has none."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if adds_bos:
        made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    named = {"bos_token": "<s>", "unk_token": "<unk>", "eos_token": eos}
    if pad_token:
        named["pad_token"] = pad_token
    others = [token for token in special if token not in named.values()]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, additional_special_tokens=others, **named)
    tokenizer.chat_template = template
    return tokenizer


def turns(*said: tuple[str, str], **fields) -> ChatRow:
    """Give a conversation: ``turns(("user", "Ada asks"), ("assistant", "tea"))``."""
    return ChatRow(
        kind="conversation", row=1, messages=tuple(Message(role=r, content=c) for r, c in said), **fields
    )


def trained(masked, chat) -> list[str]:
    """Return the names of the tokens that carry loss."""
    ids = [number for number, loss in zip(masked.ids, masked.mask, strict=True) if loss]
    return chat.tokenizer.convert_ids_to_tokens(ids)


def trained_text(masked) -> str:
    """Return the characters of the tokens that carry loss."""
    carried = bytearray(len(masked.text))
    for (start, end), loss in zip(masked.offsets, masked.mask, strict=True):
        if loss:
            carried[start:end] = b"\1" * (end - start)
    return "".join(letter for letter, loss in zip(masked.text, carried, strict=True) if loss)


ASKED = turns(("user", "Ada asks for tea"), ("assistant", "Ada gets milk"))
TWICE = turns(
    ("system", "be brief"),
    ("user", "Ada asks"),
    ("assistant", "tea"),
    ("user", "and now"),
    ("assistant", "milk and tea"),
)
