"""What goes into another format comes back as it was, wherever both formats can say it; else it is refused."""

from __future__ import annotations

import copy
import json

import pytest
from chat_samples import CALL, GOOD, OPENAI_CALL, TOOL, assistant, user
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data.chat.formats import FORMATS, Converted
from tunewright.data.chat.refusals import RowError
from tunewright.data.chat.targets import WRITERS

SAID = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(str.strip)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | SAID,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SAID, inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["weather", "sea", "search"])
CALLS = st.builds(
    lambda name, arguments: {"type": "function", "function": {"name": name, "arguments": arguments}},
    NAMES,
    st.dictionaries(SAID, VALUES, max_size=3),
)
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("weather", "sea", "search")
]


@st.composite
def conversations(draw, *, tools=True):
    """Conversations that both OpenAI's and ShareGPT's form can express."""
    messages = [{"role": "system", "content": draw(SAID)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(SAID)})
        if tools and draw(st.booleans()):
            calls = draw(st.lists(CALLS, min_size=1, max_size=3))
            messages.append({"role": "assistant", "content": "", "tool_calls": calls})
            messages += [{"role": "tool", "content": draw(SAID | st.just(""))} for _ in calls]
        messages.append({"role": "assistant", "content": draw(SAID)})
    return {"messages": messages, **({"tools": TOOLS} if tools and draw(st.booleans()) else {})}


def converted(row, source, target):
    found = FORMATS[source].convert(row, strict=True)
    assert isinstance(found, Converted), found
    return [each for one in found.rows for each in WRITERS[target](one)]


def refused(row, source, target):
    (one,) = FORMATS[source].convert(row).rows
    with pytest.raises(RowError) as found:
        WRITERS[target](one)
    return found.value.reason


@settings(max_examples=200, deadline=None)
@given(conversations())
def test_messages_come_back_from_sharegpt(row):
    (there,) = converted(row, "messages", "sharegpt")
    assert converted(json.loads(json.dumps(there)), "sharegpt", "messages") == [row]


@settings(max_examples=100, deadline=None)
@given(conversations(tools=False))
def test_messages_come_back_from_alpaca(row):
    (there,) = converted(row, "messages", "alpaca")
    assert converted(there, "alpaca", "messages") == [row]


@settings(max_examples=100, deadline=None)
@given(SAID, SAID)
def test_a_prompt_and_its_completion_come_back_from_messages(prompt, completion):
    row = {"prompt": prompt, "completion": completion}
    (there,) = converted(row, "prompt-completion", "messages")
    assert converted(there, "messages", "prompt-completion") == [row]


@pytest.mark.parametrize(
    ("name", "target"),
    [("messages", "messages"), ("sharegpt", "sharegpt"), ("alpaca", "alpaca"), ("text", "text"),
     ("prompt-completion", "prompt-completion"), ("preference", "preference"), ("kto", "kto")],
)  # fmt: skip
def test_a_row_in_its_own_format_is_the_same_row_when_it_is_read_again(name, target):
    texts = [row for row in GOOD[name] if target != "prompt-completion" or isinstance(row["prompt"], str)]
    for row in texts:
        once = converted(row, name, target)
        assert [again for each in once for again in converted(each, target, target)] == once


def test_calls_and_ids_and_weights_are_kept_in_messages():
    row = copy.deepcopy(GOOD["messages"][2])
    row["messages"][1]["content"] = ""
    row["messages"].insert(1, assistant("Wait.", weight=0))
    row["messages"].insert(2, user("Yes?"))
    assert converted(row, "messages", "messages") == [row]


def test_arguments_may_be_json_text_and_come_out_as_an_object():
    row = copy.deepcopy(GOOD["messages"][2])
    row["messages"][1]["tool_calls"][0]["function"]["arguments"] = json.dumps(CALL["arguments"])
    (made,) = converted(row, "messages", "messages")
    assert made["messages"][1]["tool_calls"][0]["function"] == CALL


def test_a_pair_gives_a_good_and_a_bad_row():
    good, bad = converted(GOOD["preference"][0], "preference", "kto")
    assert (good["label"], bad["label"]) == (True, False)
    assert good["prompt"] == bad["prompt"] == [user()]
    assert bad["completion"] == [assistant("Who knows?")]


def test_answers_without_a_prompt_of_their_own_share_the_turns_they_begin_with():
    row = {
        "chosen": [user("a"), assistant("b"), user("c"), assistant("d")],
        "rejected": [user("a"), assistant("b"), user("c"), assistant("e"), user("f"), assistant("g")],
    }
    (made,) = converted(row, "preference", "preference")
    assert made["prompt"] == [user("a"), assistant("b"), user("c")]
    assert made["chosen"] == [assistant("d")]
    assert made["rejected"] == [assistant("e"), user("f"), assistant("g")]


def test_a_shared_prompt_ends_where_the_assistant_answers():
    one = [user("a"), assistant("b"), user("c"), assistant("d")]
    other = [user("a"), assistant("b"), user("e"), assistant("f")]
    (made,) = converted({"chosen": one, "rejected": other}, "preference", "preference")
    assert made["prompt"] == [user("a")]
    assert (made["chosen"], made["rejected"]) == (one[1:], other[1:])


def test_loss_is_on_the_completion_alone():
    row = {"prompt": [user("a"), assistant("b"), user("c")], "completion": [assistant("d")]}
    (made,) = converted(row, "prompt-completion", "messages")
    assert [message.get("weight") for message in made["messages"]] == [None, 0, None, None]


TWO = {"messages": [user("a"), assistant("b"), user("c"), assistant("d")]}
TALKING = [{"role": "assistant", "content": "Let me see.", "tool_calls": [OPENAI_CALL]}]


@pytest.mark.parametrize(
    ("row", "source", "target", "reason"),
    [
        (GOOD["messages"][2], "messages", "alpaca", "loses_tools"),
        (GOOD["messages"][2], "messages", "prompt-completion", "loses_tools"),
        ({**GOOD["messages"][0], "tools": [TOOL]}, "messages", "alpaca", "loses_tools"),
        (TWO, "messages", "prompt-completion", "loses_turns"),
        (GOOD["question-answer"][1], "question-answer", "prompt-completion", "loses_system"),
        (GOOD["messages"][1], "messages", "sharegpt", "loses_weight"),
        (GOOD["messages"][1], "messages", "alpaca", "loses_weight"),
        ({"messages": [{**user(), "name": "ada"}, assistant()]}, "messages", "alpaca", "loses_names"),
        ({"messages": [{**user(), "name": "ada"}, assistant()]}, "messages", "sharegpt", "loses_names"),
        ({"messages": [user(), *TALKING]}, "messages", "sharegpt", "loses_turns"),
        ({"messages": [user(), user(), assistant()]}, "messages", "sharegpt", "repeated_role"),
        ({"messages": [user(), assistant(), assistant()]}, "messages", "alpaca", "repeated_role"),
        (GOOD["preference"][0], "preference", "messages", "loses_answer"),
        (GOOD["kto"][0], "kto", "messages", "loses_label"),
        (GOOD["kto"][0], "kto", "preference", "not_a_preference"),
        (GOOD["messages"][0], "messages", "kto", "not_rated"),
        (GOOD["messages"][0], "messages", "text", "not_plain_text"),
        (GOOD["text"][0], "text", "messages", "no_turns"),
    ],
)
def test_what_would_be_lost_refuses_the_row(row, source, target, reason):
    assert refused(row, source, target) == reason


def test_tools_that_answer_out_of_order_have_no_place_in_sharegpt():
    calls = [{**OPENAI_CALL, "id": name} for name in ("c1", "c2")]
    asked = [user(), {"role": "assistant", "content": "", "tool_calls": calls}]
    answers = [{"role": "tool", "content": name, "tool_call_id": name} for name in ("c1", "c2")]
    in_order = {"messages": [*asked, *answers, assistant()]}
    out_of_order = {"messages": [*asked, *answers[::-1], assistant()]}
    (there,) = converted(in_order, "messages", "sharegpt")
    assert [turn["from"] for turn in there["conversations"][1:4]] == [
        "function_call",
        "observation",
        "observation",
    ]
    assert refused(out_of_order, "messages", "sharegpt") == "loses_names"
