"""Rows are found by what they say: exactly, after cleaning, or by the same words."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.config.data import Cleaning
from tunewright.data.matching import Wanted, find_rows, rows_numbered
from tunewright.data.normal_form import key_form
from tunewright.support.errors import InputError

CLEANING = Cleaning().model_dump(mode="json")
COLUMNS = ("row", "text", "label")
PIECES = [
    "e",
    "mail",
    "E",
    "ﬁ",
    "fi",
    "-",
    " ",
    "\t",
    "ß",
    "ss",
    "K",
    "k",
    "_",
    "!",
    ":)",
    "é",
    "é",
    "日本",
    "7",
    "\x00",
]
texts = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@given(texts.filter(str.strip), st.lists(st.none() | texts | st.text(max_size=6), max_size=12))
def test_a_column_is_searched_as_each_text_is_judged(text, column):
    wanted = Wanted.of(text, CLEANING)
    forms = {key_form(text), key_form(wanted.cleaned)}
    expected = [at for at, each in enumerate(column) if each is not None and key_form(each) in forms]
    assert wanted.positions(pa.array(column, pa.string())) == expected


def test_how_a_text_was_found_is_said():
    wanted = Wanted.of("Fish &amp; chips,  please", CLEANING)
    assert wanted.match("Fish &amp; chips,  please") == "exact"
    assert wanted.match("Fish & chips, please") == "cleaned"
    assert wanted.match("fish chips please!") == "same_words"
    assert wanted.match("fish and chips please") is None
    assert wanted.match(None) is None


@given(texts.filter(str.strip), st.integers(1, 30))
def test_a_text_that_was_cut_short_stays_in_the_running(text, cut):
    assert Wanted.of(text, CLEANING).may_begin(text[:cut])


def test_an_empty_text_is_refused():
    with pytest.raises(InputError, match="is empty"):
        Wanted.of(" \n", CLEANING)


def test_rows_are_found_in_a_file_by_text_and_by_number(tmp_path):
    path = tmp_path / "cached"
    rows = {"row": range(1, 101), "text": [f"Parcel {n % 10}?" for n in range(100)], "label": ["ask"] * 100}
    pq.write_table(pa.table({name: list(values) for name, values in rows.items()}), path, row_group_size=7)
    found = find_rows(path, Wanted.of("parcel 3", CLEANING), COLUMNS)
    assert [row["row"] for row in found] == list(range(4, 101, 10))
    assert found[0] == {"row": 4, "text": "Parcel 3?", "label": "ask"}
    assert [row["text"] for row in rows_numbered(path, [100, 4, 777], COLUMNS)] == ["Parcel 3?", "Parcel 9?"]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "part").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="part: can't be read"):
        find_rows(tmp_path / "part", Wanted.of("x", CLEANING), COLUMNS)
    with pytest.raises(InputError, match="part: can't be read"):
        rows_numbered(tmp_path / "part", [1], COLUMNS)
