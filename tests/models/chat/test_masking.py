"""Which tokens carry loss: the assistant's words and the stop token behind them, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from words_and_turns import (
    ASKED,
    CHATML,
    HEAD,
    MARKED,
    TWICE,
    WORDS,
    trained,
    trained_text,
    turns,
    word_tokenizer,
)

from tunewright.data.chat.rows import ChatRow, Message, ToolCall
from tunewright.models.chat.masking import mask_row
from tunewright.models.chat.template import RefusedRowError
from tunewright.models.chat.tokenizer import open_chat_tokenizer

END = "<|im_end|>"


@pytest.mark.parametrize(("template", "method"), [(CHATML, "prefixes"), (MARKED, "markers")])
def test_each_answer_and_its_stop_token_carry_loss(open_with, template, method):
    chat = open_with(template)
    (masked,) = mask_row(TWICE, chat)
    assert masked.method == method
    assert trained(masked, chat) == ["tea", END, "milk", "and", "tea", END]
    assert masked.remarks == frozenset()


@pytest.mark.parametrize("template", [CHATML, MARKED])
def test_a_turn_that_isnt_trained_carries_none(open_with, template):
    chat = open_with(template)
    first, second = TWICE.messages[:3], TWICE.messages[3:]
    silent = first[2].model_copy(update={"trained": False})
    row = TWICE.model_copy(update={"messages": (*first[:2], silent, *second)})
    (masked,) = mask_row(row, chat)
    assert trained(masked, chat) == ["milk", "and", "tea", END]


def test_on_a_conversation_completion_means_the_last_answer(open_with):
    chat = open_with()
    (masked,) = mask_row(TWICE, chat, loss="completion")
    assert trained(masked, chat) == ["milk", "and", "tea", END]


def test_with_loss_on_all_only_the_first_token_carries_none(open_with):
    chat = open_with()
    (masked,) = mask_row(ASKED, chat, loss="all")
    assert masked.mask == (False, *[True] * (len(masked.ids) - 1))


def test_a_stop_token_behind_the_markers_carries_loss_all_the_same(open_with):
    chat = open_with(
        MARKED.replace("{{ message.content + '<|im_end|>' }}{% endgeneration %}",
                       "{{ message.content }}{% endgeneration %}{{ '<|im_end|>' }}")
    )  # fmt: skip
    (masked,) = mask_row(TWICE, chat)
    assert trained(masked, chat) == ["tea", END, "milk", "and", "tea", END]
    assert masked.remarks == {"stop_outside_markers"}


@pytest.mark.parametrize("head", ["", HEAD.replace("assistant", "assistant now")])
def test_a_prompt_that_serving_would_write_otherwise_is_remarked(open_with, head):
    chat = open_with(MARKED.replace(HEAD, head))
    (masked,) = mask_row(TWICE, chat)
    assert trained(masked, chat) == ["tea", END, "milk", "and", "tea", END]
    assert masked.remarks == {"other_prompt"}


def test_several_marked_pieces_in_a_turn_belong_to_it(open_with):
    template = MARKED.replace(
        "{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}",
        "{% generation %}{{ message.content }}{% endgeneration %}"
        "{% for call in message.tool_calls %}{% generation %}{{ ' tool ' + call.function.name }}{% endgeneration %}"
        "{% endfor %}{% generation %}{{ '<|im_end|>' }}{% endgeneration %}",
    )
    chat = open_with(template)
    call = (ToolCall(name="tea"),)
    messages = (
        Message(role="user", content="Ada asks"),
        Message(role="assistant", content="now", tool_calls=call, trained=False),
        Message(role="user", content="and"),
        Message(role="assistant", content="brief", tool_calls=call),
    )
    (masked,) = mask_row(ChatRow(kind="conversation", messages=messages), chat)
    assert trained(masked, chat) == ["brief", "tool", "tea", END]


def test_markers_that_dont_enclose_the_answer_are_refused(open_with):
    chat = open_with(
        MARKED.replace("{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}",
                       "{{ message.content }}{% generation %}{{ '<|im_end|>' }}{% endgeneration %}")
    )  # fmt: skip
    with pytest.raises(RefusedRowError, match="don't enclose what the assistant says in message 2") as caught:
        mask_row(ASKED, chat)
    assert caught.value.reason == "unsound_mask"


def test_a_template_that_rewrites_earlier_turns_is_refused_without_markers(open_with):
    rewriting = CHATML.replace(
        "message.content +", "(message.content if loop.last or loop.index < 3 else '') +"
    )
    chat = open_with(rewriting)
    assert trained(mask_row(ASKED, chat)[0], chat) == ["Ada", "gets", "milk", END]
    with pytest.raises(RefusedRowError, match="isn't how the whole conversation begins") as caught:
        mask_row(TWICE, chat)
    assert caught.value.reason == "unsound_mask"


def test_an_end_of_text_behind_the_last_turn_doesnt_make_prefixes_unsound(open_with):
    closing = CHATML.replace("{% endif %}", "{% else %}{{ '<|endoftext|>' }}{% endif %}")
    chat = open_with(closing, eos="<|endoftext|>")
    assert chat.setup.turn_end == END
    (masked,) = mask_row(TWICE, chat)
    assert trained(masked, chat) == ["tea", END, "milk", "and", "tea", END]


def test_a_stop_token_behind_the_last_turn_alone_is_refused(open_with):
    chat = open_with(
        "{% for m in messages %}{{ m.role + '\n' + m.content + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant\n' }}{% else %}{{ eos_token }}{% endif %}"
    )
    assert trained(mask_row(ASKED, chat)[0], chat) == ["Ada", "gets", "milk", END]
    with pytest.raises(RefusedRowError, match="what it renders through message 3 isn't how"):
        mask_row(TWICE, chat)


def test_a_prompt_that_the_answer_doesnt_continue_is_refused(open_with):
    chat = open_with(CHATML.replace(HEAD, HEAD.replace("assistant\n", "assistant\nbrief\n")))
    with pytest.raises(RefusedRowError, match="what it renders up to message 2 isn't how"):
        mask_row(ASKED, chat)


def test_a_conversation_that_the_assistant_begins_needs_markers(open_with):
    row = turns(("assistant", "Ada asks"), ("user", "tea"), ("assistant", "now"))
    with pytest.raises(RefusedRowError, match="begins with the assistant"):
        mask_row(row, open_with(CHATML))


def test_with_markers_the_assistant_may_begin(open_with):
    row = turns(("assistant", "Ada asks"), ("user", "tea"), ("assistant", "now"))
    chat = open_with(MARKED)
    assert trained(mask_row(row, chat)[0], chat) == ["Ada", "asks", END, "now", END]


def test_a_header_that_no_prompt_writes_carries_loss_and_is_remarked(open_with):
    chat = open_with(CHATML.replace(HEAD, ""))
    (masked,) = mask_row(ASKED, chat)
    assert trained(masked, chat)[:2] == ["<|im_start|>", "assistant"]
    assert masked.remarks == {"text_before_answer"}


def test_a_preference_gives_two_sequences_with_loss_on_the_answers_alone(open_with):
    chat = open_with()
    row = ChatRow(
        kind="preference",
        messages=TWICE.messages[:4],
        chosen=(Message(role="assistant", content="milk"),),
        rejected=(Message(role="assistant", content="brief milk"),),
    )
    chosen, rejected = mask_row(row, chat)
    assert (chosen.part, rejected.part) == ("chosen", "rejected")
    assert trained(chosen, chat) == ["milk", END]
    assert trained(rejected, chat) == ["brief", "milk", END]


def test_a_rated_answer_carries_loss_and_its_prompt_none(open_with):
    chat = open_with()
    answer = (Message(role="assistant", content="milk"),)
    (masked,) = mask_row(ChatRow(kind="rated", messages=TWICE.messages[:4], chosen=answer, good=True), chat)
    assert trained(masked, chat) == ["milk", END]


def test_a_completion_carries_loss_with_an_end_token_and_its_prompt_none(open_with):
    chat = open_with(None, adds_bos=True)
    row = ChatRow(kind="completion", prompt="Ada asks for ", completion="tea")
    (masked,) = mask_row(row, chat)
    assert chat.tokenizer.convert_ids_to_tokens(list(masked.ids)) == ["<s>", "Ada", "asks", "for", "tea", END]
    assert trained(masked, chat) == ["tea", END]


def test_an_end_token_that_a_completion_has_isnt_added_again(open_with):
    chat = open_with(None)
    (masked,) = mask_row(ChatRow(kind="completion", prompt="Ada ", completion=f"tea {END}"), chat)
    assert trained(masked, chat) == ["tea", END]


def test_plain_text_carries_loss_everywhere_but_on_its_first_token(open_with):
    chat = open_with(None, adds_bos=True)
    (masked,) = mask_row(ChatRow(kind="text", text="Ada asks"), chat)
    assert masked.mask == (False, True, True, True)
    assert chat.tokenizer.convert_ids_to_tokens(list(masked.ids)) == ["<s>", "Ada", "asks", END]


def test_an_empty_text_carries_none(open_with):
    assert mask_row(ChatRow(kind="text", text=""), open_with(None))[0].supervised == 0


def test_what_a_length_limit_takes_is_counted(open_with):
    chat = open_with()
    (whole,) = mask_row(TWICE, chat)
    (cut,) = mask_row(TWICE, chat, max_length=len(whole.ids) - 3)
    assert (cut.cut_tokens, cut.cut_supervised) == (3, 3)
    assert cut.supervised == whole.supervised - 3
    assert len(cut.ids) == len(cut.mask) == len(cut.offsets) == len(whole.ids) - 3


def test_the_mask_is_that_of_transformers_where_that_one_is_right(open_with):
    chat = open_with(MARKED)
    (masked,) = mask_row(TWICE, chat)
    theirs = chat.tokenizer.apply_chat_template(
        [{"role": each.role, "content": each.content} for each in TWICE.messages],
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    assert list(masked.ids) == theirs["input_ids"]
    assert [int(loss) for loss in masked.mask] == theirs["assistant_masks"]


def test_an_answer_that_begins_with_white_space_doesnt_cost_the_later_ones_their_loss(open_with):
    chat = open_with(MARKED)
    row = turns(("user", "Ada"), ("assistant", " tea"), ("user", "and"), ("assistant", " milk"))
    assert trained(mask_row(row, chat)[0], chat) == ["tea", END, "milk", END]


def test_two_templates_by_name_are_told_apart_by_tools(open_with):
    chat = open_with({"default": CHATML, "tool_use": MARKED})
    assert mask_row(ASKED, chat)[0].method == "prefixes"
    tool = {"type": "function", "function": {"name": "tea", "parameters": {}}}
    assert mask_row(ASKED.model_copy(update={"tools": (tool,)}), chat)[0].method == "markers"


SENTENCE = st.lists(st.sampled_from(WORDS), max_size=4)
CONVERSATIONS = st.lists(st.tuples(SENTENCE, SENTENCE, st.booleans()), min_size=1, max_size=5)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conversation=CONVERSATIONS, system=st.booleans())
@pytest.mark.parametrize("template", [CHATML, MARKED])
def test_a_mask_covers_exactly_the_trained_answers_and_their_stop_tokens(
    cached, template, conversation, system
):
    chat = cached(template)
    messages, expected = [Message(role="system", content="be brief")] if system else [], []
    for question, answer, is_trained in conversation:
        messages += [
            Message(role="user", content=" ".join(question)),
            Message(role="assistant", content=" ".join(answer), trained=is_trained),
        ]
        expected += [*answer, END] if is_trained else []
    (masked,) = mask_row(ChatRow(kind="conversation", messages=tuple(messages)), chat)
    assert trained(masked, chat) == expected
    assert chat.tokenizer.convert_ids_to_tokens(list(masked.ids)).count(END) == len(messages)


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    opened: dict = {}

    def make(template):
        if template not in opened:
            folder = tmp_path_factory.mktemp("model")
            word_tokenizer(template).save_pretrained(folder)
            opened[template] = open_chat_tokenizer(folder)
        return opened[template]

    return make


ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20).filter(
    lambda text: "</s>" not in text and "<s>" not in text and "<unk>" not in text
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=3))
@pytest.mark.parametrize("marked", [True, False])
def test_with_a_real_tokenizer_and_any_text_the_answers_characters_carry_loss(real, said, marked):
    chat = real(marked)
    row = turns(*(pair for q, a in said for pair in (("user", q), ("assistant", a))))
    (masked,) = mask_row(row, chat)
    assert trained_text(masked) == "".join(f"{answer}</s>" for _, answer in said)
    assert [number for number in masked.ids if number == chat.setup.eos_id] == [2] * len(said)


@pytest.fixture(scope="module")
def real(stories, tmp_path_factory):
    plain = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + m.content + '\n' }}"
        "{% else %}ANSWER{% endif %}{% endfor %}"
    )
    answers = {
        True: "{% generation %}{{ m.content + eos_token }}{% endgeneration %}",
        False: "{{ m.content + eos_token }}",
    }
    opened = {}
    for marked, answer in answers.items():
        path = tmp_path_factory.mktemp("templates") / "chat.jinja"
        path.write_text(plain.replace("ANSWER", answer))
        opened[marked] = open_chat_tokenizer(stories, template=path)
    return opened.__getitem__


ANSWER = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20).filter(
    lambda text: text[:1].strip() and "<|" not in text
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(st.one_of(st.just(""), ANSWER), min_size=1, max_size=3))
@pytest.mark.parametrize("trims", [True, False])
def test_what_the_trained_tokens_of_a_byte_level_tokenizer_say_is_the_answer(byte_level, trims, answers):
    """GPT-2's and Llama 3's post-processors trim white space off the offsets: such tokens have no characters."""
    chat = byte_level(trims)
    row = turns(*(pair for answer in answers for pair in (("user", "Ada asks\n "), ("assistant", answer))))
    (masked,) = mask_row(row, chat)
    ids = [number for number, loss in zip(masked.ids, masked.mask, strict=True) if loss]
    said = chat.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert said == "".join(answer + END for answer in answers)


@pytest.mark.parametrize("trims", [True, False])
def test_white_space_that_ends_a_completion_carries_loss(byte_level, trims):
    chat = byte_level(trims)
    (masked,) = mask_row(ChatRow(kind="completion", prompt="Ada\n\n", completion="gets tea  "), chat)
    ids = [number for number, loss in zip(masked.ids, masked.mask, strict=True) if loss]
    assert chat.tokenizer.decode(ids, clean_up_tokenization_spaces=False) == f"gets tea  {END}"


@pytest.mark.parametrize("trims", [True, False])
def test_a_token_that_begins_in_the_prompt_is_remarked(byte_level, trims):
    chat = byte_level(trims)
    (across,) = mask_row(ChatRow(kind="completion", prompt="Ada gets ", completion="tea"), chat)
    (clean,) = mask_row(ChatRow(kind="completion", prompt="Ada gets", completion=" tea"), chat)
    assert across.ids == clean.ids
    assert across.remarks == {"token_across_boundary"}
    assert clean.remarks == frozenset()


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory):
    from tokenizers import ByteLevelBPETokenizer, processors
    from transformers import PreTrainedTokenizerFast

    opened = {}
    for trims in (True, False):
        learned = ByteLevelBPETokenizer()
        learned.train_from_iterator(
            ["Ada asks for tea\n\n  and gets milk" * 3], vocab_size=300, show_progress=False
        )
        learned._tokenizer.post_processor = processors.ByteLevel(trim_offsets=trims)
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=learned._tokenizer, eos_token=END)
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
        tokenizer.chat_template = CHATML
        folder = tmp_path_factory.mktemp("bytes")
        tokenizer.save_pretrained(folder)
        opened[trims] = open_chat_tokenizer(folder)
    return opened.__getitem__
