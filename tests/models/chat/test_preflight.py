"""Totals over all rows, and every reason to refuse them."""

from __future__ import annotations

import pytest
from words_and_turns import ASKED, CHATML, MARKED, TWICE, turns

from tunewright.data.chat.rows import ChatRow, Message, ToolCall
from tunewright.models.chat.preflight import inspect_rows
from tunewright.models.chat.tokenizer import open_chat_tokenizer
from tunewright.support.errors import InputError

TOOL = {"type": "function", "function": {"name": "tea", "parameters": {"type": "object", "properties": {}}}}
WITH_TOOLS = ChatRow(
    kind="conversation",
    row=1,
    messages=(
        Message(role="user", content="Ada asks for tea"),
        Message(role="assistant", tool_calls=(ToolCall(name="tea"),)),
        Message(role="tool", content="milk"),
        Message(role="assistant", content="Ada gets milk"),
    ),
    tools=(TOOL,),
)


def reasons(found) -> list[str]:
    return [refusal.reason for refusal in found.refusals]


def only(found):
    """Return the one refusal there is."""
    assert len(found.refusals) == 1, reasons(found)
    return found.refusals[0]


def test_totals_are_raw_templated_padded_supervised(open_with):
    found = inspect_rows([ASKED, TWICE], open_with())
    assert found.refusals == ()
    # ASKED: 4 + 3 words; a turn costs three tokens more. TWICE: 2 + 2 + 1 + 2 + 3 words in five turns.
    assert (found.totals.rows, found.totals.raw) == (2, 17)
    assert found.totals.templated == 17 + 3 * 7
    assert found.totals.longest == 10 + 3 * 5
    assert found.totals.padded == 2 * 25
    assert found.totals.supervised == 4 + 6
    assert found.totals.truncated == found.totals.truncated_supervised == 0


def test_a_preference_counts_as_two_sequences(open_with):
    row = ChatRow(
        kind="preference",
        row=1,
        messages=(Message(role="user", content="Ada asks"),),
        chosen=(Message(role="assistant", content="tea"),),
        rejected=(Message(role="assistant", content="milk"),),
    )
    found = inspect_rows([row], open_with())
    assert (found.totals.rows, found.totals.sequences, found.totals.supervised) == (1, 2, 4)


def test_rows_without_a_token_to_learn_are_named(open_with):
    silent = turns(("user", "Ada asks"))
    rows = [silent.model_copy(update={"row": number}) for number in range(1, 9)]
    refusal = only(inspect_rows([*rows, TWICE], open_with()))
    assert refusal.reason == "no_supervised_token"
    assert refusal.count == 8
    assert refusal.line("chats.jsonl") == (
        "chats.jsonl, rows 1, 2, 3, 4, 5 and 3 more: no token carries loss; "
        "give it an answer of the assistant that may be trained, or remove the row"
    )


def test_a_row_whose_answer_lies_beyond_the_limit_is_named(open_with):
    long = turns(("user", "tea " * 40), ("assistant", "now"))
    found = inspect_rows([long, *[ASKED] * 30], open_with(), max_length=20)
    refusal = only(found)
    assert refusal.reason == "no_supervised_token"
    assert refusal.fact == "all 2 tokens with loss lie beyond the first 20"
    assert (found.totals.truncated_supervised, found.totals.longest) == (2, 20)


def test_too_large_a_share_lost_to_the_limit_is_refused(open_with):
    rows = [turns(("user", "Ada"), ("assistant", "tea " * 8))] * 4
    found = inspect_rows(rows, open_with(), max_length=13)
    assert reasons(found) == ["stop_never_trained", "truncation"]
    assert "22.2% of the tokens with loss lie beyond 13 tokens, 5.0% may" in found.refusals[1].line("f")
    assert reasons(inspect_rows([*rows, ASKED], open_with(), max_length=13, max_lost_share=0.3)) == []


def test_sequences_beyond_the_models_context_are_noted(make_folder):
    folder = make_folder(max_position_embeddings=20)
    note = "1 sequences are longer than the 20 tokens that the model was made to read: set a maximal length"
    assert note in inspect_rows([ASKED, TWICE], open_chat_tokenizer(folder)).notes
    assert note not in inspect_rows([ASKED, TWICE], open_chat_tokenizer(folder), max_length=20).notes


def test_a_template_that_never_stops_is_refused(open_with):
    chat = open_with(CHATML.replace("+ '<|im_end|>' + '\n'", "+ '\n'"))
    refusal = only(inspect_rows([ASKED, TWICE], chat))
    assert refusal.reason == "stop_never_trained"
    assert "no stop token (<|im_end|>) carries loss" in refusal.line("f")
    assert "{{ eos_token }}" in refusal.mend


def test_a_turn_end_that_the_tokenizer_doesnt_hold_as_a_token_trains_no_stop(open_with):
    assert "stop_never_trained" in reasons(inspect_rows([ASKED], open_with(CHATML.replace("im_end", "end"))))


def test_a_bos_from_the_template_and_one_from_the_text_are_one_too_many(open_with):
    refusal = only(inspect_rows([ASKED], open_with("{{ '<s>' }}{{ bos_token }}" + CHATML)))
    assert refusal.reason == "double_bos"
    assert refusal.line("f") == "f, row 1: begins with <s> twice; write it once: the template writes it twice"


def test_a_bos_that_the_template_writes_isnt_added_by_the_tokenizer(open_with):
    chat = open_with("{{ bos_token }}" + CHATML, adds_bos=True)
    found = inspect_rows([ASKED], chat, show=1)
    assert found.refusals == ()
    assert found.shown[0].ids[:2] == (chat.setup.bos_id, chat.tokenizer.convert_tokens_to_ids("<|im_start|>"))


def test_a_rendered_text_gets_the_bos_twice_and_is_refused(open_with):
    refusal = only(inspect_rows([ChatRow(kind="text", row=1, text="<s> Ada asks")], open_with(adds_bos=True)))
    assert refusal.reason == "double_bos"
    assert refusal.mend.endswith("the tokenizer adds it by itself")


def test_a_template_that_rewrites_turns_is_refused_without_markers(open_with):
    rewriting = CHATML.replace(
        "message.content +", "(message.content if loop.last or loop.index < 3 else '') +"
    )
    found = inspect_rows([ASKED, TWICE], open_with(rewriting))
    unsound, dropped = found.refusals
    assert (unsound.reason, unsound.count) == ("unsound_mask", 1)
    assert "{% generation %}" in unsound.mend
    assert dropped.fact == "the template drops what messages of the role 'user' say"


def test_a_conversation_without_any_template_is_refused(open_with):
    refusal = only(inspect_rows([ASKED], open_with(None)))
    assert refusal.reason == "no_template"
    assert "--template FILE" in refusal.line("f")


def test_a_template_that_raises_says_so(open_with):
    chat = open_with("{{ raise_exception('roles must alternate') }}")
    refusal = only(inspect_rows([ASKED], chat))
    assert refusal.reason == "template_error"
    assert "roles must alternate" in refusal.line("f")


def test_a_template_that_is_no_jinja_says_so(open_with):
    assert reasons(inspect_rows([ASKED], open_with("{% for message in %}"))) == ["template_error"]


@pytest.mark.parametrize("template", [CHATML, MARKED])
def test_a_template_that_drops_the_system_message_is_refused(open_with, template):
    dropping = template.replace(
        "{% for message in messages %}", "{% for message in messages if message.role != 'system' %}"
    )
    refusal = only(inspect_rows([ASKED, TWICE], open_with(dropping)))
    assert (refusal.reason, refusal.count) == ("role_dropped", 1)
    assert "drops what messages of the role 'system' say" in refusal.line("f")


def test_a_template_that_writes_only_the_role_of_a_tools_answer_is_refused(open_with):
    dropping = CHATML.replace("message.content", "(message.content if message.role != 'tool' else '')")
    messages = (WITH_TOOLS.messages[0], *WITH_TOOLS.messages[2:])
    row = WITH_TOOLS.model_copy(update={"messages": messages, "tools": ()})
    refusal = only(inspect_rows([row], open_with(dropping)))
    assert "drops what messages of the role 'tool' say" in refusal.line("f")


CALLS = "((message.tool_calls | tojson) if message.tool_calls else '')"
WRITES_CALLS = "{{ tools | tojson }}" + CHATML.replace("message.content +", f"message.content + {CALLS} +")


def calling(content="", **arguments) -> ChatRow:
    """Give a conversation in which the assistant asks for a tool."""
    call = Message(role="assistant", content=content, tool_calls=(ToolCall(name="tea", arguments=arguments),))
    return WITH_TOOLS.model_copy(
        update={"messages": (WITH_TOOLS.messages[0], call, *WITH_TOOLS.messages[2:])}
    )


@pytest.mark.parametrize(
    ("template", "dropped"),
    [
        (CHATML, ["the assistant's tool calls", "the arguments of tool calls", "the descriptions of tools"]),
        (WRITES_CALLS.replace("{{ tools | tojson }}", ""), ["the descriptions of tools"]),
        (WRITES_CALLS.replace("{{ tools | tojson }}", "tool"), ["the descriptions of tools"]),
        (WRITES_CALLS.replace("message.tool_calls | tojson", "'tool'"),
         ["the assistant's tool calls", "the arguments of tool calls"]),
        (WRITES_CALLS.replace("message.tool_calls | tojson", "message.tool_calls[0].function.name"),
         ["the arguments of tool calls"]),
        (WRITES_CALLS.replace("message.content +", "('' if message.tool_calls else message.content) +"),
         ["what messages of the role 'assistant' say beside tool calls"]),
        (WRITES_CALLS, []),
    ],
)  # fmt: skip
def test_what_a_template_drops_of_tools_is_named(open_with, template, dropped):
    found = inspect_rows([calling("brief", milk="now")], open_with(template))
    facts = [refusal.fact for refusal in found.refusals if refusal.reason == "role_dropped"]
    assert facts == [f"the template drops {each}" for each in dropped]


def test_too_many_unknown_words_are_refused(open_with):
    rows = [turns(("user", "Ada wants coffee"), ("assistant", "tea"))]
    refusal = only(inspect_rows(rows, open_with()))
    assert refusal.reason == "unknown_tokens"
    assert "50.0% of the tokens are unknown to the tokenizer (such as wants coffee)" in refusal.line("f")
    assert inspect_rows(rows, open_with(), max_unknown_share=0.5).refusals == ()


@pytest.fixture(scope="session")
def sms_rows(sms):
    lines = sms.read_text(encoding="utf-8").splitlines()
    return [
        ChatRow(kind="text", row=at, text=line.split("\t", 1)[1]) for at, line in enumerate(lines[:2000], 1)
    ]


def test_a_damaged_tokenizer_is_refused_for_both_its_faults(shared, sms_rows):
    found = inspect_rows(sms_rows, open_chat_tokenizer(shared / "models" / "tinystories-656k"))
    assert reasons(found) == ["special_tokens", "lost_text"]
    first, second = (refusal.line("sms") for refusal in found.refusals)
    assert "passes through the normaliser" in first
    assert "drops characters without a trace in 2" in second
    assert "tinystories-656k: " in first
    with pytest.raises(InputError, match="other engines read other ids"):
        found.require_sound("sms")


@pytest.mark.parametrize("name", ["tinystories-656k-fixed-tokenizer", "stories260K-hf"])
def test_sound_tokenizers_pass(shared, sms_rows, name):
    found = inspect_rows(sms_rows, open_chat_tokenizer(shared / "models" / name))
    assert found.refusals == ()
    found.require_sound("sms")
    assert found.totals.supervised == found.totals.templated - 2000


def test_a_text_that_spells_out_a_special_token_is_noted(open_with):
    found = inspect_rows([turns(("user", "Ada <|im_start|> asks"), ("assistant", "tea"))], open_with())
    assert found.refusals == ()
    assert any("1 texts spell out a special token" in note for note in found.notes)


def test_a_token_across_the_boundary_is_noted(stories, tmp_path):
    template = tmp_path / "t.jinja"
    template.write_text(
        "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}{% generation %}"
        "{{ m.content + eos_token }}{% endgeneration %}{% else %}{{ m.content }} {% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    row = turns(("user", "Ada asks"), ("assistant", "the tea"))
    found = inspect_rows([row], open_chat_tokenizer(stories, template=template))
    assert any("begins in the prompt and ends in the answer" in note for note in found.notes)
