"""Whatever a row holds, it is converted or refused with a reason that names the field; nothing else happens."""

from __future__ import annotations

import contextlib
import itertools
import json
from pathlib import Path
from typing import get_args

import pytest
from chat_samples import GOOD, broken, put
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data.chat.formats import FORMATS, Converted
from tunewright.data.chat.refusals import Reason, Refused, RowError
from tunewright.data.chat.targets import WRITERS

REASONS = get_args(Reason)
LEAST = 30
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | st.text(max_size=8)
    | st.characters(categories=["Cs"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "from", "value", "name", "arguments", "tool_calls", "text", "type", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
ROLES = st.sampled_from(
    ["user", "assistant", "system", "tool", "human", "gpt", "function_call", "observation", "bot"]
)


@pytest.mark.parametrize("name", FORMATS)
def test_every_broken_row_is_refused_with_its_reason(name):
    rows = list(broken(name))
    assert len(rows) >= LEAST
    for row, reason in rows:
        found = FORMATS[name].convert(row)
        assert isinstance(found, Refused), f"{name} takes {row!r}"
        assert found.reason in REASONS
        if reason is not None:
            assert found.reason == reason, f"{found.detail}: {row!r}"


@pytest.mark.parametrize("name", FORMATS)
def test_a_refusal_is_one_sentence_that_names_what_is_wrong(name):
    for row, _ in broken(name):
        found = FORMATS[name].convert(row)
        assert "\n" not in found.detail
        assert "'" in found.detail or found.detail.startswith("the row"), found.detail
        assert len(found.detail) < 250


@pytest.mark.parametrize("name", FORMATS)
def test_every_good_row_is_taken_whole(name):
    for row in GOOD[name]:
        found = FORMATS[name].convert(row, row=7, source="a.jsonl", strict=True)
        assert isinstance(found, Converted), f"{found}: {row}"
        assert [(each.row, each.source) for each in found.rows] == [(7, "a.jsonl")] * len(found.rows)


@pytest.mark.parametrize("name", FORMATS)
def test_a_field_that_is_not_known_is_told_and_refused_when_strict(name):
    for row in GOOD[name]:
        more = {**row, "annotator": "ada"}
        assert FORMATS[name].convert(more).unused == {"annotator"}
        refused = FORMATS[name].convert(more, strict=True)
        assert refused.reason == "unknown_field"
        assert "'annotator'" in refused.detail


def test_two_system_prompts_are_both_named():
    first = {"role": "system", "content": "Be brief."}
    row = {"messages": [first, *GOOD["messages"][0]["messages"]], "system": "Be long."}
    refused = FORMATS["messages"].convert(row)
    assert refused.reason == "system_not_first"
    assert "'messages[0]'" in refused.detail
    assert "'system' is filled too" in refused.detail


def test_a_field_of_a_turn_that_is_not_known_is_told():
    row = put(GOOD["messages"][0], ("messages", 1, "reasoning"), "It is cold.")
    assert FORMATS["messages"].convert(row).unused == {"messages[].reasoning"}


def test_the_documentation_explains_every_reason_and_names_every_format():
    page = (Path(__file__).parents[3] / "docs" / "conversations.md").read_text(encoding="utf-8")
    assert [name for name in (*REASONS, *FORMATS, *WRITERS) if f"`{name}`" not in page] == []


def paths(value, at=()):
    """Give the path of everything in a row."""
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from paths(each, (*at, key))


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_a_row_with_anything_anywhere_is_converted_or_refused(data):
    name = data.draw(st.sampled_from(sorted(FORMATS)))
    row = data.draw(st.sampled_from(GOOD[name]))
    for _ in range(data.draw(st.integers(1, 3))):
        row = put(row, data.draw(st.sampled_from(list(paths(row)))), data.draw(ANYTHING | ROLES))
    check(name, row)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FORMATS)), ANYTHING)
def test_anything_at_all_is_converted_or_refused(name, row):
    check(name, row)


def check(name, row):
    """Convert a row, and what comes of it to every format; what is written is JSON."""
    for each in FORMATS.values():
        each.columns(row if isinstance(row, dict) else {})
    found = FORMATS[name].convert(row)
    if isinstance(found, Refused):
        assert found.reason in REASONS
        assert found.detail
        return
    for write, each in itertools.product(WRITERS.values(), found.rows):
        with contextlib.suppress(RowError):
            json.dumps(write(each), allow_nan=False).encode()
