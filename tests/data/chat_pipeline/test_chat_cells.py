"""Any row survives the shards: what is written is what is read, whatever characters and arguments it holds."""

from __future__ import annotations

import json

import pytest
from chat_steps import config_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewright.data.chat.ingesting import ingest_chat
from tunewright.data.chat.rows import ChatRow, Message, ToolCall
from tunewright.data.chat.stored import CONVERSATION, cell_of, row_of, rows_in
from tunewright.support.errors import InputError

WRITABLE = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WRITABLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WRITABLE, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(WRITABLE, VALUES, max_size=3)
CALLS = st.builds(ToolCall, name=WRITABLE.filter(bool), arguments=OBJECTS, id=st.none() | WRITABLE)
MESSAGES = st.lists(
    st.builds(
        Message,
        role=st.sampled_from(["system", "user", "assistant", "tool"]),
        content=WRITABLE,
        tool_calls=st.lists(CALLS, max_size=2).map(tuple),
        name=st.none() | WRITABLE,
        tool_call_id=st.none() | WRITABLE,
        trained=st.booleans(),
    ),
    max_size=3,
).map(tuple)
ROWS = st.builds(
    ChatRow,
    kind=st.sampled_from(["conversation", "completion", "text", "preference", "rated"]),
    row=st.integers(0, 2**62),
    source=WRITABLE,
    messages=MESSAGES,
    tools=st.lists(OBJECTS, max_size=2).map(tuple),
    prompt=WRITABLE,
    completion=WRITABLE,
    text=WRITABLE,
    chosen=MESSAGES,
    rejected=MESSAGES,
    good=st.none() | st.booleans(),
)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(rows=st.lists(ROWS, min_size=1, max_size=4))
def test_any_row_comes_back_from_parquet(rows, tmp_path_factory):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("part")
    columns = {
        "row": [row.row for row in rows],
        "source": [row.source for row in rows],
        CONVERSATION: [cell_of(row) for row in rows],
    }
    pq.write_table(pa.table(columns), folder / "part-00000.parquet")
    assert list(rows_in(folder)) == rows


@QUICK
@given(said=st.lists(WRITABLE.filter(str.strip), min_size=2, max_size=6), arguments=OBJECTS)
def test_any_characters_come_back_from_a_source(said, arguments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    calls = [{"type": "function", "function": {"name": "look", "arguments": json.dumps(arguments)}}]
    turns = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]
    turns += [{"role": "user", "content": "Look."}, {"role": "assistant", "tool_calls": calls}]
    (folder / "chats.jsonl").write_text(json.dumps({"messages": turns}) + "\n", encoding="utf-8")
    ingest_chat(config_of(folder / "chats.jsonl"), base_dir=folder, out=folder / "rows")
    (row,) = rows_in(folder / "rows")
    assert [message.content for message in row.messages[: len(said)]] == said
    assert row.messages[-1].tool_calls[0].arguments == arguments


def test_a_cell_that_holds_no_row_is_one_line():
    with pytest.raises(InputError, match="holds no row of a conversation"):
        row_of('{"kind": "opera"}', row=7)
