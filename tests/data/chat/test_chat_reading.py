"""Sources of every kind of file, and what is wrong with files."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
from chat_samples import GOOD, assistant, user

from tunewright.config.data import DataConfig
from tunewright.data.chat.opening import open_chat
from tunewright.support.errors import InputError

ROW = GOOD["messages"][0]
QUESTIONS = [{"question": f'How warm,\n"now" {n}?', "answer": f"{n} degrees; or so"} for n in range(5)]


@pytest.fixture
def opened(tmp_path):
    """Write a file, and open it."""

    def run(content, name, format_name=None, **told):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return open_chat(DataConfig(source=name, **told), base_dir=tmp_path, format_name=format_name)

    return run


def table(rows, delimiter=","):
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def said(source):
    return [[message.content for message in row.messages] for each in source.rows() for row in each.rows]


def reasons(source):
    return [(each.at.row, each.refused.reason) for each in source.rows() if each.refused]


@pytest.mark.parametrize(("name", "delimiter"), [("q.csv", ","), ("q.tsv", "\t"), ("q.csv", ";")])
def test_a_table_with_line_breaks_and_quotes_in_its_cells(opened, name, delimiter):
    source = opened(table(QUESTIONS, delimiter), name)
    assert source.format.name == "question-answer"
    assert said(source) == [[row["question"], row["answer"]] for row in QUESTIONS]


def test_messages_and_tools_as_json_text_in_a_table(opened):
    row = GOOD["messages"][2]
    source = opened(table([{name: json.dumps(value) for name, value in row.items()}] * 2), "m.csv")
    assert source.format.name == "messages"
    taken = [row for each in source.rows() for row in each.rows]
    assert taken[0].messages[1].tool_calls[0].arguments == {"city": "Oslo"}
    assert taken[0].tools == tuple(row["tools"])


def test_a_table_with_one_column_of_text(opened):
    source = opened('text\n"The sky, it seems, is\nblue."\nGrass is green.\n', "t.csv")
    assert [each.rows[0].text for each in source.rows()] == [
        "The sky, it seems, is\nblue.",
        "Grass is green.",
    ]


def test_labels_of_a_table_are_words(opened):
    rows = [
        {"prompt": "Warm?", "completion": "Yes", "label": "true"},
        {"prompt": "Warm?", "completion": "Hm", "label": "0"},
    ]
    source = opened(table(rows), "k.csv")
    assert source.format.name == "kto"
    assert [each.rows[0].good for each in source.rows()] == [True, False]


def test_each_line_of_a_text_file_is_a_row(opened):
    source = opened("The sky is blue.\n\n  \nGräser sind grün.\r\nlast", "c.txt")
    assert [(each.at.row, each.rows[0].text) for each in source.rows()] == [
        (1, "The sky is blue."), (2, "Gräser sind grün."), (3, "last"),
    ]  # fmt: skip


def test_a_folder_of_text_files_passes_over_a_licence(opened, tmp_path):
    opened("free\n", "texts/LICENSE", format_name="text")
    opened("one\n", "texts/a.txt")
    opened("two\nthree\n", "texts/b.txt")
    source = open_chat(DataConfig(source="texts"), base_dir=tmp_path)
    assert [(each.at.source, each.at.row) for each in source.rows()] == [
        ("a.txt", 1),
        ("b.txt", 1),
        ("b.txt", 2),
    ]
    assert "LICENSE" in source.source.notes[-1]


def test_compressed_and_byte_marked_and_windows_files(opened):
    lines = "".join(json.dumps(ROW) + "\r\n" for _ in range(3))
    assert len(said(opened(gzip.compress(lines.encode()), "m.jsonl.gz"))) == 3
    assert len(said(opened(b"\xef\xbb\xbf" + lines.encode(), "m.jsonl"))) == 3
    assert len(said(opened(json.dumps([ROW] * 3).encode("utf-16"), "m.json"))) == 3


def test_lines_that_are_no_json_are_refused_one_by_one(opened):
    lines = [
        json.dumps(ROW),
        '{"messages": [',
        "5",
        "[" * 3000 + "]" * 3000,
        '{"messages": "\\ud800"}',
        json.dumps(ROW),
    ]
    source = opened("\n".join(lines) + "\n", "m.jsonl")
    assert reasons(source) == [
        (2, "malformed_json"), (3, "not_an_object"), (4, "malformed_json"), (5, "undecodable"),
    ]  # fmt: skip
    assert len(said(source)) == 2


def test_bytes_outside_the_encoding_refuse_their_row_alone(opened):
    good = json.dumps({"text": "grün und blau"}, ensure_ascii=False).encode()
    source = opened(b"\n".join([good, b'{"text": "gr\xfcn"}', good]), "t.jsonl")
    assert reasons(source) == [(2, "undecodable")]


def test_a_row_that_is_too_long_is_refused_and_the_rest_is_read(opened, monkeypatch):
    monkeypatch.setattr("tunewright.data.json_rows.MAX_ROW_CHARACTERS", 200)
    source = opened(
        json.dumps(ROW) + "\n" + json.dumps({"text": "x" * 500}) + "\n" + json.dumps(ROW), "m.jsonl"
    )
    assert reasons(source) == [(2, "row_too_long")]


def test_an_array_that_is_cut_off_stops_with_one_line(opened):
    source = opened(json.dumps([ROW] * 500)[:-20], "m.json")
    with pytest.raises(InputError, match="malformed or cut-off JSON"):
        list(source.rows())


def test_parquet_with_nulls_for_what_a_turn_lacks(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [GOOD["messages"][0], {"messages": [user(), assistant(name="bo")]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "m.parquet")
    source = open_chat(DataConfig(source="m.parquet"), base_dir=tmp_path)
    assert source.format.name == "messages"
    assert len(said(source)) == 2
    assert all(each.unused == frozenset() for each in source.rows())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "", "is empty"),
        ("a.txt", " \n", "is empty"),
        ("a.txt", b"\xef\xbb\xbf", "is empty"),
        ("a.txt", b"%PDF-1.7 ...", "is a PDF document"),
        ("a.txt", bytes(range(256)) * 20 + b"\0" * 100, "is not a text file"),
        ("a.parquet", "PAR1 no", "Parquet"),
        ("a.jsonl", '{"text":\n{"text":\n', r"none of the first 2 rows is an object \(malformed_json"),
        ("a.jsonl", '{"body": 1}\n{"body": 2}\n', "no format fits"),
        ("a.json", "[]", "no format fits"),
    ],
)
def test_a_file_without_rows_says_so_in_one_line(opened, name, content, message):
    with pytest.raises(InputError, match=message) as found:
        opened(content, name)
    assert "a." in str(found.value)


def test_a_misspelt_file_gets_the_nearest(opened, tmp_path):
    opened(json.dumps(ROW), "messages.jsonl")
    for wrong in ("mesages.jsonl", "owner/name", "nothing"):
        with pytest.raises(InputError, match="no such file or folder"):
            open_chat(DataConfig(source=wrong), base_dir=tmp_path)
    with pytest.raises(InputError, match=r"did you mean 'messages\.jsonl'"):
        open_chat(DataConfig(source="mesages.jsonl"), base_dir=tmp_path)


def test_reading_keeps_one_row_in_memory(tmp_path):
    import tracemalloc

    with (tmp_path / "big.jsonl").open("w", encoding="utf-8") as stream:
        for n in range(3000):
            stream.write(json.dumps({"messages": [user("x" * 4000), assistant(str(n))]}) + "\n")
    source = open_chat(DataConfig(source="big.jsonl"), base_dir=tmp_path)
    tracemalloc.start()
    count = sum(len(each.rows) for each in source.rows())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 3000
    assert peak < (tmp_path / "big.jsonl").stat().st_size
