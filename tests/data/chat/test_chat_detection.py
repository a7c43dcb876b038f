"""The format of a source is told by its first rows, or asked for."""

from __future__ import annotations

import pytest
from chat_samples import GOOD, assistant, gpt, human, user

from tunewright.data.chat.detecting import detect_format
from tunewright.data.chat.formats import FORMATS, format_named
from tunewright.support.errors import InputError


def detected(*rows):
    return detect_format(list(rows), place="data.jsonl").format.name


@pytest.mark.parametrize(("name", "row"), [(name, row) for name, rows in GOOD.items() for row in rows])
def test_every_good_row_is_known_for_what_it_is(name, row):
    assert detected(row) == name
    assert detected({**row, "id": "a-1", "source": "here", "score": 0.5}) == name


@pytest.mark.parametrize("name", FORMATS)
def test_a_few_broken_rows_do_not_hide_the_format(name):
    rows = [None, {}, 5, {"x": 1}, *GOOD[name][:1] * 5]
    assert detected(*rows) == name


def test_the_dialect_counts_and_not_the_name_of_the_column():
    assert detected({"conversations": [user(), assistant()]}) == "messages"
    assert detected({"messages": [human(), gpt()]}) == "sharegpt"


def test_json_text_in_a_table_is_looked_into():
    assert detected({"messages": '[{"role": "user", "content": "Hi"}]'}) == "messages"
    assert detected({"messages": "[not json"}, {"text": "x"}, {"text": "x"}) == "text"


def test_a_rendering_beside_the_columns_it_was_made_from_is_passed_over():
    assert detected({**GOOD["alpaca"][0], "text": "### Instruction: …"}) == "alpaca"


def test_the_reason_is_given():
    found = detect_format([GOOD["kto"][2]] * 3, place="data.jsonl")
    assert found.why == "3 of the first 3 rows have label and messages"


def test_two_formats_that_fit_equally_well_are_named_with_the_option():
    both = {**GOOD["preference"][0], **GOOD["messages"][0]}
    with pytest.raises(InputError) as found:
        detected(both)
    message = str(found.value)
    assert "preference by chosen, prompt and rejected" in message
    assert "messages by messages" in message
    assert (
        "--from messages or --from preference" in message or "--from preference or --from messages" in message
    )


def test_half_of_the_rows_each_is_not_clear_either():
    with pytest.raises(InputError, match="--from alpaca or --from text"):
        detected(GOOD["alpaca"][0], GOOD["text"][0])


def test_where_nothing_fits_the_columns_and_the_formats_are_named():
    with pytest.raises(InputError) as found:
        detected({"body": "x", "team": "y"}, {"body": "z"})
    assert "no format fits the first 2 rows; their columns: body, team" in str(found.value)
    assert all(name in str(found.value) for name in FORMATS)


def test_rows_that_are_no_objects_fit_nothing():
    with pytest.raises(InputError, match="none of the first 3 rows is an object"):
        detected("x", 5, None)


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(InputError, match="did you mean 'sharegpt'"):
        format_named("shargpt")
