"""Each cleaning step does what its name says; together they are idempotent and every change is counted."""

from __future__ import annotations

import ast
import json
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.config.data import Cleaning
from tunewright.data import text_cleaning
from tunewright.data.cleaning import clean
from tunewright.data.text_cleaning import STEPS, clean_text

OFF = {
    **dict.fromkeys(("cast", "unicode_nfc", "html_entities", "control_characters", "whitespace"), False),
    "mentions": "keep",
    "urls": "keep",
}
SETTINGS = st.fixed_dictionaries(
    {
        **dict.fromkeys(
            ("cast", "unicode_nfc", "html_entities", "control_characters", "whitespace"), st.booleans()
        ),
        **dict.fromkeys(("mentions", "urls"), st.sampled_from(("keep", "mask", "drop"))),
    }
)
# Pieces that make work for one another once something between them is dropped.
ENTITY_PIECES = [
    "&",
    "amp;",
    "amp",
    "&amp;",
    "lt;",
    "&#",
    "38;",
    "64;",
    "&#64;",
    "&commat;",
    "&#x301;",
    "&zwj;",
    "&shy;",
]
NAME_PIECES = ["@", "bob", "http://", "www.", "x.y", "/", "e", "é", "👩", "<user>", "<url>"]
INVISIBLE_PIECES = list("\u200b\u200d\u200c\ufeff\x00\x0c\x85\x92\u0301\xa0\n\r\ud800\u0958 ")
PIECES = st.sampled_from([*ENTITY_PIECES, *NAME_PIECES, *INVISIBLE_PIECES])
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join))


def only(step: str, setting: object, text: str) -> str:
    """Clean with one step on."""
    return clean_text(text, {**OFF, step: setting})


@given(TEXTS, SETTINGS)
def test_cleaning_twice_is_cleaning_once(text, settings):
    once = clean_text(text, settings)
    assert clean_text(once, settings) == once


@given(TEXTS)
def test_everything_off_changes_nothing(text):
    assert clean_text(text, OFF) == text
    assert clean_text(text, {}) == text


@given(TEXTS)
def test_cleaned_text_can_be_written_and_is_normal(text):
    cleaned = clean_text(text, Cleaning().model_dump())
    cleaned.encode()
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned == cleaned.strip()
    assert "  " not in cleaned
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b\ufeff]", cleaned)


@pytest.mark.parametrize(
    ("step", "setting", "text", "expected"),
    [
        ("unicode_nfc", True, "cafe\u0301", "café"),
        ("html_entities", True, "&lt;b&gt; &amp;amp;amp;lt; &#163;5 &#x20AC; &nbsp;", "<b> < £5 € \xa0"),
        ("html_entities", True, "a&copy=2&lt", "a&copy=2&lt"),
        ("html_entities", True, "AT&T & co; &unknown; &#xD800;", "AT&T & co; &unknown; \ufffd"),
        ("control_characters", True, "a\x00b\u200bc\ufeff", "abc"),
        ("control_characters", True, "one\x0ctwo\x85three", "one two three"),
        ("control_characters", True, "I\x92m 5\x80", "I’m 5€"),
        ("control_characters", True, "keep\tthese\nthree\r\n", "keep\tthese\nthree\r\n"),
        ("control_characters", True, "👩\u200d👩 fr\u200dee می\u200cخواهم", "👩\u200d👩 free می\u200cخواهم"),
        ("mentions", "keep", "hi @bob", "hi @bob"),
        ("mentions", "mask", "hi @bob, me@x.org t.me/@x", "hi <user>, me@x.org t.me/@x"),
        ("mentions", "drop", "hi @bob!", "hi !"),
        ("urls", "mask", "see https://a.b/c?d=1 or WWW.x.y now", "see <url> or <url> now"),
        ("urls", "drop", "(http://a.b) x", "( x"),
        ("urls", "mask", "awww.cute", "awww.cute"),
        ("whitespace", True, "  a \n\t b\xa0c\u2003 ", "a b c"),
    ],
)
def test_each_step_alone(step, setting, text, expected):
    assert only(step, setting, text) == expected
    assert only(step, OFF[step], text) == text


@pytest.mark.parametrize(("value", "text"), [(5, "5"), (2.5, "2.5"), (True, "true"), ("x", "x")])
def test_cast_turns_numbers_and_booleans_into_text(value, text):
    assert clean_text(value, {**OFF, "cast": True}) == text


@pytest.mark.parametrize("value", [None, [], {}])
def test_cast_refuses_what_is_no_text(value):
    with pytest.raises(TypeError, match="a text is expected"):
        clean_text(value, {**OFF, "cast": True})


def test_steps_stand_in_the_order_of_the_configuration():
    assert tuple(name for name, _ in STEPS) == tuple(Cleaning.model_fields)


def test_hostile_nesting_takes_no_quadratic_time():
    import time

    start = time.process_time()
    assert clean_text("&" + "amp;" * 200_000 + "lt;", Cleaning().model_dump()) == "<"
    assert clean_text("&#38;" * 100_000, Cleaning().model_dump()) == "&" * 100_000
    assert time.process_time() - start < 2


def test_the_module_needs_nothing_but_the_standard_library():
    tree = ast.parse(Path(text_cleaning.__file__).read_text(encoding="utf-8"))
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_changes_are_counted_by_step_and_null_stays_null(read, tmp_path):
    rows = [
        {"text": "a &amp; b", "label": "x"},
        {"text": "  padded  ", "label": "y"},
        {"text": 5, "label": "x"},
        {"text": None, "label": "y"},
        {"text": "\u200b \u200b", "label": "x"},
        {"text": "plain", "label": "y", "row": "7"},
    ]
    ingested = read("\n".join(map(json.dumps, rows)), "data.jsonl")
    counts = clean(ingested.folder, Cleaning(), out=tmp_path / "clean")
    assert counts == {
        "cast": 1,
        "unicode_nfc": 0,
        "html_entities": 1,
        "control_characters": 1,
        "mentions": 0,
        "urls": 0,
        "whitespace": 2,
    }
    assert json.loads((tmp_path / "clean" / "cleaning.json").read_text()) == counts
    cleaned = _rows(tmp_path / "clean")
    assert [row["text"] for row in cleaned] == ["a & b", "padded", "5", None, "", "plain"]
    assert list(cleaned[0]) == ["row", "source", "text", "label", "digest", "row_in_source"]
    assert [row["digest"] for row in cleaned] == [row["digest"] for row in ingested.rows]
    for name in ("source.json", "rejected.jsonl"):
        assert (tmp_path / "clean" / name).read_bytes() == (ingested.folder / name).read_bytes()


def test_numbers_become_null_when_casting_is_off(read, tmp_path):
    ingested = read('{"text": 5, "label": "x"}\n{"text": "b", "label": "x"}\n', "data.jsonl")
    clean(ingested.folder, Cleaning(cast=False), out=tmp_path / "clean")
    assert [row["text"] for row in _rows(tmp_path / "clean")] == [None, "b"]


def test_a_missing_or_damaged_part_is_one_clear_line(tmp_path):
    from tunewright.support.errors import InputError

    (tmp_path / "rows").mkdir()
    with pytest.raises(InputError, match="holds no parquet part"):
        clean(tmp_path / "rows", Cleaning(), out=tmp_path / "out")
    (tmp_path / "rows" / "part-00000.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(InputError, match=r"part-00000\.parquet: can't be read"):
        clean(tmp_path / "rows", Cleaning(), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _rows(folder):
    import pyarrow.parquet as pq

    return [row for part in sorted(folder.glob("part-*.parquet")) for row in pq.read_table(part).to_pylist()]
