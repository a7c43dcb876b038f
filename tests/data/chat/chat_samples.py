"""One good row of each form that each format has, and rows broken in known ways."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from tunewright.data.chat.fields import MAX_DEPTH

MISSING = object()
TOOL = {
    "name": "weather",
    "description": "Tell the weather.",
    "parameters": {"type": "object", "properties": {}},
}
CALL = {"name": "weather", "arguments": {"city": "Oslo"}}
OPENAI_CALL = {"id": "c1", "type": "function", "function": CALL}


def user(text="How warm is it?"):
    return {"role": "user", "content": text}


def assistant(text="Four degrees.", **more):
    return {"role": "assistant", "content": text, **more}


def human(text="How warm is it?"):
    return {"from": "human", "value": text}


def gpt(text="Four degrees."):
    return {"from": "gpt", "value": text}


GOOD: dict[str, list[dict[str, Any]]] = {
    "alpaca": [
        {"instruction": "Add.", "input": "1 and 2", "output": "3"},
        {
            "instruction": "Add.",
            "output": "3",
            "system": "Be brief.",
            "history": [["Hi", "Hello"], ["Yes?", "No."]],
        },
    ],
    "sharegpt": [
        {"conversations": [human(), gpt()]},
        {
            "conversations": [
                {"from": "system", "value": "Be brief."},
                human(),
                gpt(),
                human("And now?"),
                gpt("Five."),
            ]
        },
        {
            "conversations": [
                human(),
                {"from": "function_call", "value": json.dumps(CALL)},
                {"from": "observation", "value": '{"degrees": 4}'},
                gpt(),
            ],
            "tools": json.dumps([TOOL]),
        },
    ],
    "messages": [
        {"messages": [user(), assistant()]},
        {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                user(),
                assistant(weight=0),
                user(),
                assistant(),
            ]
        },
        {
            "messages": [
                user(),
                {"role": "assistant", "content": None, "tool_calls": [OPENAI_CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "4"},
                assistant(),
            ],
            "tools": [{"type": "function", "function": TOOL}],
        },
        {
            "messages": [
                user([{"type": "text", "text": "How "}, {"type": "text", "text": "warm?"}]),
                assistant(),
            ]
        },
    ],
    "prompt-completion": [
        {"prompt": "The sky is", "completion": " blue."},
        {"prompt": [user()], "completion": [assistant()]},
    ],
    "text": [{"text": "The sky is blue."}],
    "preference": [
        {"prompt": "How warm is it?", "chosen": "Four degrees.", "rejected": "Who knows?"},
        {"prompt": [user()], "chosen": [assistant()], "rejected": [assistant("Who knows?")]},
        {"chosen": [user(), assistant()], "rejected": [user(), assistant("Who knows?")]},
        {"conversations": [human()], "chosen": gpt(), "rejected": gpt("Who knows?")},
        {"chosen": "Four degrees.", "rejected": "Who knows?"},
        {"instruction": "Add.", "input": "1 and 2", "chosen": "3", "rejected": "4"},
        {"chosen": "\n\nHuman: Warm?\n\nAssistant: Yes.", "rejected": "\n\nHuman: Warm?\n\nAssistant: No."},
    ],
    "kto": [
        {"prompt": "How warm is it?", "completion": "Four degrees.", "label": True},
        {"prompt": [user()], "completion": [assistant()], "label": False},
        {"messages": [user(), assistant()], "label": False},
        {"conversations": [human(), gpt()], "label": True},
        {"instruction": "Add.", "input": "1 and 2", "output": "3", "kto_tag": True},
    ],
    "self-instruct": [{"instruction": "Add.", "instances": [{"input": "1, 2", "output": "3"}]}],
    "question-answer": [
        {"question": "How warm is it?", "answer": "Four degrees."},
        {"question": "How warm is it?", "answer": "Four degrees.", "system": "Be brief."},
    ],
}


def deep(levels=MAX_DEPTH + 1):
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


def put(row: dict[str, Any], path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """Return a copy of a row with another value at a path, or none there."""
    changed = copy.deepcopy(row)
    at: Any = changed
    for part in path[:-1]:
        at = at[part]
    if value is MISSING:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return changed


NO_OBJECTS = [None, 5, 1.5, True, "text", [], ["x"], [{"text": "x"}], [[]]]
NO_TEXTS = [
    (MISSING, "missing_field"),
    (None, "missing_field"),
    ("", "empty_content"),
    (" \n\t", "empty_content"),
    ("\u2003", "empty_content"),
    (5, "wrong_type"),
    (0, "wrong_type"),
    (float("nan"), "wrong_type"),
    (True, "wrong_type"),
    (False, "wrong_type"),
    ({}, "wrong_type"),
    ({"text": "x"}, "wrong_type"),
    (b"x", "wrong_type"),
    ("half \ud800", "undecodable"),
    ("bytes \udcff", "undecodable"),
    (deep(), "nested_too_deeply"),
    ({"a": deep()}, "nested_too_deeply"),
]
"""What stands where only text may, and the reason it is refused for."""
NO_LISTS = [
    (MISSING, "missing_field"),
    (None, "missing_field"),
    (5, "wrong_type"),
    (True, "wrong_type"),
    ({}, "wrong_type"),
    ("", "not_json"),
    ("hello", "not_json"),
    ('[{"role": "user"', "not_json"),
    ('{"role": "user"}', "wrong_type"),
    ("[" * 5000, "nested_too_deeply"),
    ("[" * 200 + "]" * 200, "nested_too_deeply"),
    ('["\\ud800"]', "undecodable"),
    ([5], "wrong_type"),
    ([None], "wrong_type"),
    (["x"], "wrong_type"),
    ([[]], "wrong_type"),
    (deep(), "nested_too_deeply"),
]
"""What stands where only a list of objects may."""


def _texts(row, *paths, skip=()):
    for path in paths:
        for value, reason in NO_TEXTS:
            if reason not in skip:
                yield put(row, path, value), reason


def _lists(row, path):
    for value, reason in NO_LISTS:
        yield put(row, path, value), reason


def _broken_turns(field, turns, said, spoken, ask, answer):
    """Give conversations whose turns are wrong, in either dialect."""
    row = {field: turns}
    yield from _lists(row, (field,))
    yield from _texts(row, (field, 0, said))
    yield put(row, (field, 0, spoken), MISSING), "missing_field"
    yield put(row, (field, 0, spoken), 5), "wrong_type"
    for name in ("asistant", "Human", "USER", "bot", "", "x" * 500):
        yield put(row, (field, 1, spoken), name), "unknown_role"
    yield {field: []}, "no_assistant"
    yield {field: [ask]}, "no_assistant"
    yield {field: [ask, answer, ask]}, "ends_without_answer"
    system = {spoken: "system", said: "Be brief."}
    yield {field: [ask, system, answer]}, "system_not_first"
    yield {field: [system, system, ask, answer]}, "system_not_first"
    yield {field: [system, ask, answer], "system": "Be long."}, "system_not_first"
    yield {field: [ask, {spoken: "tool", said: "4"}, answer]}, "tool_without_call"
    yield {field: turns, "system": 5}, "wrong_type"
    yield {field: turns, "tools": "no JSON"}, "not_json"
    yield {field: turns, "tools": 5}, "wrong_type"
    yield {field: turns, "tools": [5]}, "wrong_type"
    yield {field: turns, "tools": [{"description": "nameless"}]}, "missing_field"
    yield {field: turns, "tools": [{"type": "function", "function": {"name": ""}}]}, "empty_content"
    yield {field: turns, "tools": [{"name": "x", "parameters": {"minimum": float("inf")}}]}, "not_finite"
    yield {field: [ask, {**answer, "weight": 0}]}, "nothing_trained"
    yield {field: [ask, {**answer, "weight": 0.5}]}, "bad_weight"
    yield {field: [ask, {**answer, "weight": True}]}, "bad_weight"
    yield {field: [ask, {**answer, "weight": []}]}, "bad_weight"
    yield {field: [{**ask, "weight": 1}, answer]}, "bad_weight"


def _broken_messages():
    yield from _broken_turns("messages", [user(), assistant()], "content", "role", user(), assistant())
    with_call = GOOD["messages"][2]
    call = ("messages", 1, "tool_calls")
    yield put(with_call, call, []), "missing_field"
    yield put(with_call, call, 5), "wrong_type"
    yield put(with_call, call, [5]), "wrong_type"
    yield put(with_call, (*call, 0, "function"), 5), "wrong_type"
    yield put(with_call, (*call, 0, "function", "name"), MISSING), "missing_field"
    yield put(with_call, (*call, 0, "function", "name"), ""), "empty_content"
    yield put(with_call, (*call, 0, "function", "name"), "sea"), "unknown_tool"
    yield put(with_call, (*call, 0, "id"), 5), "wrong_type"
    for value in ([], "[]", "5", '"x"', 5, True, [1]):
        yield put(with_call, (*call, 0, "function", "arguments"), value), "arguments_not_object"
    yield put(with_call, (*call, 0, "function", "arguments"), "{city"), "not_json"
    yield put(with_call, (*call, 0, "function", "arguments"), '{"a": NaN}'), "not_finite"
    yield put(with_call, (*call, 0, "function", "arguments"), '{"\\ud800": 1}'), "undecodable"
    yield put(with_call, ("messages", 2, "tool_call_id"), "c2"), "unknown_call_id"
    yield put(with_call, ("messages", 0, "tool_calls"), [OPENAI_CALL]), "call_by_other_role"
    answers = with_call["messages"]
    yield {"messages": [*answers[:3], answers[2], answers[3]]}, "tool_without_call"
    yield {"messages": answers[:3]}, "ends_without_answer"
    picture = [{"type": "image_url", "image_url": {"url": "file:///x"}}]
    yield {"messages": [user(picture), assistant()]}, "unsupported_content"
    yield {"messages": [user([]), assistant()]}, "empty_content"
    yield {"messages": [user([{"text": "x"}]), assistant()]}, "missing_field"
    yield {"messages": [user(["x"]), assistant()]}, "wrong_type"


def _broken_sharegpt():
    yield from _broken_turns("conversations", [human(), gpt()], "value", "from", human(), gpt())
    yield {"conversations": [human(), human(), gpt()]}, "repeated_role"
    yield {"conversations": [human(), gpt(), gpt()]}, "repeated_role"
    yield {"conversations": [gpt(), human(), gpt()]}, "starts_with_answer"
    called = GOOD["sharegpt"][2]
    asked, call, answer, said = called["conversations"]
    yield {"conversations": [asked, call, answer, answer, said]}, "tool_without_call"
    for value, reason in (
        ("", "empty_content"), ("get_weather()", "not_json"), ("5", "wrong_type"), ("[]", "empty_content"),
        ("{}", "missing_field"), ('{"name": 5}', "wrong_type"), ('{"name": "sea"}', "unknown_tool"),
        ('{"name": "weather", "arguments": [1]}', "arguments_not_object"),
        ('{"name": "weather", "arguments": "Oslo"}', "not_json"), (None, "missing_field"), (5, "wrong_type"),
    ):  # fmt: skip
        yield put(called, ("conversations", 1, "value"), value), reason
    yield put(called, ("conversations", 2, "value"), None), "missing_field"


def _broken_preference():
    text, turns, whole, said = GOOD["preference"][:4]
    yield from _texts(text, ("chosen",), ("rejected",), skip=("wrong_type",))
    for side in ("chosen", "rejected"):
        for value in (5, True, {}, [5], {"text": "x"}):
            yield put(text, (side,), value), None
        yield put(turns, (side,), []), "no_answer"
        yield put(turns, (side,), [user()]), None
        yield put(said, (side,), human()), None
    yield {**text, "rejected": text["chosen"]}, "same_answers"
    yield {**turns, "rejected": turns["chosen"]}, "same_answers"
    yield {**whole, "rejected": whole["chosen"]}, "same_answers"
    yield {**text, "prompt": ""}, "empty_content"
    yield {**text, "prompt": 5}, "wrong_type"
    yield {**text, "prompt": [5]}, "wrong_type"
    yield {**turns, "prompt": [user(), assistant()]}, "no_answer"
    yield {**whole, "rejected": [user("Another?"), assistant("x")]}, "no_shared_prompt"
    yield {**whole, "prompt": "Another?"}, "no_shared_prompt"
    yield (
        {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: d"},
        "no_shared_prompt",
    )
    yield (
        {"chosen": "\n\nHuman: a\n\nAssistant: ", "rejected": "\n\nHuman: a\n\nAssistant: d"},
        "empty_content",
    )


def _broken_kto():
    text, turns, whole = GOOD["kto"][:3]
    yield from _texts(text, ("prompt",), ("completion",), skip=("wrong_type",))
    for value in (5, "yes", "", [], {}, 0.5, -1):
        yield put(text, ("label",), value), "wrong_type"
    yield put(text, ("label",), MISSING), "missing_field"
    yield put(whole, ("label",), None), "missing_field"
    yield {**whole, "messages": [user()]}, "no_assistant"
    yield {**whole, "messages": [assistant()]}, "no_answer"
    yield {**whole, "messages": [user(), assistant(), user()]}, "ends_without_answer"
    yield {**turns, "completion": [user()]}, None
    yield {**turns, "prompt": [user(), assistant()]}, "no_answer"
    yield put(GOOD["kto"][4], ("output",), ""), "empty_content"
    yield put(GOOD["kto"][4], ("instruction",), MISSING), "missing_field"


def _broken_alpaca():
    plain, full = GOOD["alpaca"]
    yield from _texts(plain, ("instruction",), ("output",))
    yield put(plain, ("input",), 5), "wrong_type"
    yield put(full, ("system",), ["x"]), "wrong_type"
    for value, reason in (
        (5, "wrong_type"), ("x", "not_json"), ([5], "wrong_type"), ([["a"]], "wrong_type"),
        ([["a", "b", "c"]], "wrong_type"), ([["a", ""]], "empty_content"), ([[5, "b"]], "wrong_type"),
        ({}, "wrong_type"),
    ):  # fmt: skip
        yield put(full, ("history",), value), reason


def _broken_instances():
    (row,) = GOOD["self-instruct"]
    yield from _texts(row, ("instruction",), ("instances", 0, "output"))
    yield from _lists(row, ("instances",))
    yield put(row, ("instances",), []), "no_assistant"
    yield put(row, ("instances", 0, "input"), 5), "wrong_type"


def _broken_completion():
    text, turns = GOOD["prompt-completion"]
    yield from _texts(text, ("prompt",), ("completion",))
    yield put(turns, ("prompt",), []), "empty_content"
    yield put(turns, ("completion",), []), "no_answer"
    yield put(turns, ("completion",), [user()]), "no_answer"
    yield put(turns, ("completion",), "Four degrees."), None
    yield {**turns, "completion": [assistant(weight=0)]}, "nothing_trained"


def _broken_question():
    row = GOOD["question-answer"][1]
    yield from _texts(row, ("question",), ("answer",))
    yield put(row, ("system",), 5), "wrong_type"


def _broken_text():
    (row,) = GOOD["text"]
    yield from _texts(row, ("text",))
    for other in ({}, {"Text": "x"}, {"texts": "x"}, {"": "x"}, {"content": "x"}):
        yield other, "missing_field"


BROKEN = {
    "alpaca": _broken_alpaca,
    "sharegpt": _broken_sharegpt,
    "messages": _broken_messages,
    "prompt-completion": _broken_completion,
    "text": _broken_text,
    "preference": _broken_preference,
    "kto": _broken_kto,
    "self-instruct": _broken_instances,
    "question-answer": _broken_question,
}


def broken(name: str) -> Iterator[tuple[object, str | None]]:
    """Give rows that a format must refuse, each with the reason; none where several would do."""
    for value in NO_OBJECTS:
        yield value, "not_an_object"
    yield from BROKEN[name]()
