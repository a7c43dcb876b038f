"""Whatever is written in a format comes back equal; whatever bytes come, there are rows or one clear error."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tunewright.support.errors import InputError

CHEAP = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ODD_CELLS = st.lists(
    st.sampled_from(
        ['"', '""', ",", ";", "\t", "\n", "\r", "\r\n", "a", "é", "😀", " ", "\x00", "\u2028", "\\", "'"]
    ),
    max_size=8,
).map("".join)
TEXTS = st.one_of(CELLS, ODD_CELLS)
LABELS = st.sampled_from(["ham", "spam", "a,b", 'say "x"', "naïve"])
ROWS = st.lists(st.tuples(TEXTS, LABELS), min_size=1, max_size=12)
COLUMNS = {"text_column": "text", "label_column": "label"}


def pairs(result):
    """The texts and labels that were read."""
    return [(row["text"], row["label"]) for row in result.rows]


@CHEAP
@given(ROWS, st.sampled_from([",", ";", "\t", "|"]), st.sampled_from(["\n", "\r\n"]), st.booleans())
@example([("\r", "ham")], ",", "\n", True)
def test_csv_round_trip(read_bytes, rows, delimiter, line_end, quote_all):
    stream = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    writer.writerows([("text", "label"), *rows])
    content = stream.getvalue().encode()
    options = {"delimiter": delimiter, "quoting": "minimal", "header": "yes", "encoding": "utf-8"}
    result = read_bytes(content, "data.csv", **options, **COLUMNS)
    assert pairs(result) == rows
    assert result.rejected == []


@CHEAP
@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"])), LABELS),
        min_size=1,
    )
)
def test_tsv_without_quoting_round_trip(read_bytes, rows):
    content = "".join(f"{text}\t{label}\n" for text, label in rows).encode()
    options = {"quoting": "none", "header": "no", "encoding": "utf-8", "delimiter": "\t"}
    result = read_bytes(content, "data.tsv", text_column="column_1", label_column="column_2", **options)
    assert pairs(result) == [
        (text.removeprefix("\ufeff") if at == 0 else text, label) for at, (text, label) in enumerate(rows)
    ]


@CHEAP
@given(ROWS, st.booleans(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_json_lines_round_trip(read_bytes, rows, ascii_only, encoding):
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=ascii_only) for text, label in rows]
    result = read_bytes("\n".join(lines).encode(encoding), "data.jsonl", **COLUMNS)
    assert pairs(result) == rows


@CHEAP
@given(ROWS, st.sampled_from([None, 2]), st.booleans())
def test_json_round_trip(read_bytes, rows, indent, wrapped):
    value = [{"text": text, "label": label} for text, label in rows]
    document = {"about": [1, {"x": "]"}], "rows": value, "n": 3} if wrapped else value
    result = read_bytes(json.dumps(document, indent=indent).encode(), "data.json", **COLUMNS)
    assert pairs(result) == rows


@CHEAP
@given(ROWS, st.integers(1, 5))
def test_parquet_round_trip(read_bytes, rows, group):
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist([{"text": a, "label": b} for a, b in rows]), stream, row_group_size=group
    )
    assert pairs(read_bytes(stream.getvalue(), "data.parquet", **COLUMNS)) == rows


@CHEAP
@given(ROWS, st.integers(1, 7), st.integers(1, 20))
def test_shards_and_row_limits_keep_order_and_numbers(read_bytes, rows, shard_rows, max_rows):
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    result = read_bytes(
        "\n".join(lines).encode(), "data.jsonl", shard_rows=shard_rows, max_rows=max_rows, **COLUMNS
    )
    assert pairs(result) == rows[:max_rows]
    assert [row["row"] for row in result.rows] == list(range(1, len(result.rows) + 1))
    parts = len(list(result.folder.glob("part-*.parquet")))
    assert parts == -(-len(result.rows) // shard_rows)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(
            st.sampled_from(
                [b"PAR1", b"[", b'[{"text":', b'{"a":[', b"\xff\xfe", b"\x1f\x8b", b"PK\x03\x04", b'a,b\n"']
            ),
            st.binary(max_size=60),
        ).map(b"".join),
        st.text(st.sampled_from('"",;\t\n\r ab[]{}:1é'), max_size=80).map(str.encode),
    ),
    st.sampled_from(
        [
            "data",
            "data.csv",
            "data.tsv",
            "data.json",
            "data.jsonl",
            "data.parquet",
            "data.csv.gz",
            "d.csv.zip",
        ]
    ),
)
def test_arbitrary_bytes_are_read_or_refused(read_bytes, content, name):
    try:
        result = read_bytes(content, name)
    except InputError as error:
        is_one_line = "\n" not in str(error) and len(str(error)) < 600
        assert is_one_line, error  # noqa: PT017
    else:
        assert result.summary.rows == len(result.rows) > 0


@CHEAP
@given(st.binary(max_size=300), st.sampled_from(["data.csv", "data.tsv", "data.jsonl"]))
def test_no_row_is_lost_between_good_ones(read_bytes, middle, name):
    """Good rows after damaged ones are read: the row numbers of both together have no gap."""
    good = b'{"text": "fine", "label": "x"}\n' if name.endswith("jsonl") else b"fine\tx\n"
    body = middle.replace(b"\n", b" ").replace(b"\r", b" ").replace(b'"', b"'")
    options = {} if name.endswith("jsonl") else {"delimiter": "\t", "header": "no", "quoting": "minimal"}
    columns = COLUMNS if name.endswith("jsonl") else {"text_column": "column_1", "label_column": "column_2"}
    result = read_bytes(good + body + b"\n" + good, name, encoding="utf-8", **options, **columns)
    numbers = sorted([row["row"] for row in result.rows] + [row["row"] for row in result.rejected])
    assert numbers == list(range(1, len(numbers) + 1))
    assert result.texts[0] == result.texts[-1] == "fine"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_unicode_encodings_are_told_by_their_bytes(read_bytes, encoding):
    content = "text,label\n" + "Grüße aus Köln,de\nWell met by moonlight,en\n" * 20
    result = read_bytes(content.encode(encoding), "data.csv")
    assert result.texts[:2] == ["Grüße aus Köln", "Well met by moonlight"]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Größe für Mädchen: “überall” – 5 €"),
        ("cp1252", "Ça va très bien, merci à tous — déjà vu, naïve"),
        ("cp1250", "Zażółć gęślą jaźń, proszę bardzo. Dziękuję za szybką odpowiedź"),
        ("cp1251", "Привет, как дела? Всё хорошо, спасибо. Увидимся завтра вечером"),
        ("koi8-r", "Привет, как дела? Всё хорошо, спасибо. Увидимся завтра вечером"),
        ("cp932", "こんにちは、元気ですか。今日は良い天気です"),
        ("gb18030", "你好，今天天气很好，我们去公园吧"),
    ],
)
def test_legacy_encodings_are_guessed_and_reported(read_bytes, encoding, text):
    content = ("text\tlabel\n" + f"{text}\tham\nplain words here\tspam\n" * 30).encode(encoding)
    result = read_bytes(content, "data.tsv")
    assert result.texts[0] == text
    assert "is not UTF-8" in result.notes
