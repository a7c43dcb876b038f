"""Detected facts about a source, and options that overrule each of them."""

from __future__ import annotations

import pytest

from tunewright.config.data import DataConfig
from tunewright.data.sources import inspect
from tunewright.support.errors import InputError


@pytest.fixture
def facts(tmp_path):
    """Write a file and say how it would be read."""

    def run(content, name="data.csv", **options):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return inspect(DataConfig(source=name, **options), base_dir=tmp_path)

    return run


BODY = [("Where is my card, please?", "card"), ("I want to pay 5; now", "pay"), ("Pay | or not", "pay")] * 5


@pytest.mark.parametrize(
    ("delimiter", "name"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "pipe")]
)
@pytest.mark.parametrize("quote", [True, False])
def test_delimiter_and_quoting(facts, delimiter, name, quote):
    text = "words without {} marks" if not quote else 'words with "{}" marks'
    lines = [f"text{delimiter}label"]
    for number in range(20):
        cell = text.format(number if not quote else delimiter)
        escaped = cell.replace('"', '""')
        lines.append(f'"{escaped}"{delimiter}x{number % 2}' if quote else f"{cell}{delimiter}x{number % 2}")
    found = facts("\n".join(lines), "data.txt")
    assert found.delimiter == name
    assert found.header is True
    if quote:
        assert found.quoting == "minimal"


def test_stray_quotes_in_a_tab_separated_file_mean_no_quoting(facts):
    lines = [
        f'ham\t"quoted start {n} and then words' if n % 5 == 0 else f"spam\tmessage {n}" for n in range(40)
    ]
    found = facts("\n".join(lines), "data")
    assert (found.quoting, found.header, found.delimiter) == ("none", False, "tab")


def test_every_option_overrules_detection(facts):
    content = "ham;some long text here\nspam;another long text\n" * 3
    found = facts(
        content,
        format="csv",
        encoding="latin1",
        delimiter=";",
        quoting="minimal",
        header="no",
        text_column="column_2",
        label_column="column_1",
    )
    assert (found.format, found.encoding, found.delimiter) == ("csv", "iso8859-1", "semicolon")
    assert (found.quoting, found.header) == ("minimal", False)
    assert facts(content, header="yes", text_column="some long text here", label_column="ham").header is True


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("text,label", True),
        ("label,text", True),
        ("v1,v2", True),
        ("Kategorie,Nachricht", True),
        ("pay,the message itself as it was sent", False),
    ],
)
def test_header_is_told_from_a_row(facts, header, expected):
    first_is_text = header.startswith("text")
    rows = [
        (f"message number {n} with some words", ["pay", "card"][n % 2])
        if first_is_text
        else (["pay", "card"][n % 2], f"message number {n} with some words")
        for n in range(12)
    ]
    found = facts("\n".join([header, *(",".join(row) for row in rows)]))
    assert found.header is expected


@pytest.mark.parametrize(
    ("names", "text", "label"),
    [
        (("id", "message", "category"), "message", "category"),
        (("Review Text", "sentiment", "id"), "Review Text", "sentiment"),
        (("text", "label", "label_text"), "text", "label"),
        (("label_text", "label", "text"), "text", "label"),
        (("number", "words", "kind"), "words", "kind"),
    ],
)
def test_columns_are_chosen_by_name_then_by_content(facts, names, text, label):
    def cell(name, number):
        lowered = name.lower()
        if lowered in {"id", "number"}:
            return str(number)
        short = lowered in {"category", "sentiment", "label", "label_text", "kind"}
        return ["good", "bad"][number % 2] if short else f"a rather long message {number} about something"

    lines = [",".join(names), *(",".join(cell(name, n) for name in names) for n in range(20))]
    found = facts("\n".join(lines))
    assert (found.text_column, found.label_column) == (text, label)


def test_an_unclear_choice_is_the_users(facts):
    lines = ["a,b,words", *(f"x{n % 2},y{n % 3},a rather long message {n}" for n in range(20))]
    with pytest.raises(
        InputError, match=r"which column is the label; set data\.label_column to one of: a, b"
    ):
        facts("\n".join(lines))
    assert facts("\n".join(lines), label_column="b").label_column == "b"
    twins = [f"a rather long message {n},another quite long one {n}" for n in range(20)]
    with pytest.raises(InputError, match="which column is the text"):
        facts("\n".join(twins))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (
            "label_column",
            "lable",
            r"has no column 'lable' \(data.label_column\); did you mean 'label'\? it has",
        ),
        ("text_column", "x", r"has no column 'x' \(data.text_column\); it has: text, label"),
        ("label_column", "text", r"text and label are the same column"),
        ("encoding", "utf-9", r"data.encoding: 'utf-9' is not a text encoding"),
        ("encoding", "base64", r"not a text encoding"),
        ("encoding", "rot13", r"not a text encoding"),
        ("delimiter", "::", r"data.delimiter: is not one character"),
        ("delimiter", "", r"data.delimiter: is not one character"),
    ],
)
def test_wrong_options_say_what_is_right(facts, option, value, message):
    options = {"text_column": "text", option: value}
    with pytest.raises(InputError, match=message):
        facts("text,label\nsome words,a\nmore words,b\n", **options)


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        ('{"text": "a b", "label": "x"}\n{"text": "c", "label": "y"}\n', "data", "jsonl"),
        ('{"text": "a b", "label": "x"}\n{"text": "c", "label": "y"}\n', "data.json", "jsonl"),
        ('{"text": "one", "label": "x"}\n', "one.jsonl", "jsonl"),
        ('[{"text": "a b", "label": "x"}]', "data.txt", "json"),
        ('[{"text": "a b", "label": "x"}]', "data.jsonl", "json"),
        ('[\n  ["a b c d", "x"],\n  ["c d e f", "x"]\n]', "data.json", "json"),
        ("text,label\n[a],b\n", "data", "csv"),
        ("[a] text here\tspam\n[b] text\tham\n[c] text\tham\n[d] text\tham\n", "data", "tsv"),
    ],
)
def test_format_is_told_by_name_and_content(facts, content, name, expected):
    assert facts(content, name).format == expected


def test_a_parquet_file_is_known_by_its_first_bytes(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a", "b"], "label": ["x", "y"]}), tmp_path / "data.csv")
    found = inspect(DataConfig(source="data.csv"), base_dir=tmp_path)
    assert found.format == "parquet"
    assert "its name says otherwise" in found.notes[0]
    with pytest.raises(InputError, match=r"is a Parquet file, and data\.format says csv"):
        inspect(DataConfig(source="data.csv", format="csv"), base_dir=tmp_path)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "data.csv", "data.csv: is empty"),
        (b"\xef\xbb\xbf \n\n", "data.csv", "is empty"),
        (b"", "data.parquet", "is empty"),
        (b"text,label\n", "data.parquet", "is not a Parquet file"),
        (b"%PDF-1.7\nblah", "data.csv", "is a PDF document"),
        (
            b"PK\x03\x04\x14\x00 workbook",
            "data.xlsx",
            "a zip archive or an Office workbook",
        ),
        (b"\x1f\x8b\x08\x00\xff\xff\x00\x00", "data.csv", "is gzip-compressed"),
        (bytes(range(256)) * 20 + b"\x00" * 500, "data.bin", "is not a text file"),
        (b"just one column\nof words\n", "data.csv", "can't tell how its lines are cut into columns"),
        (
            b'{"text": ["a"], "label": ["b"]}',
            "data.json",
            "which field holds the rows is not clear.*text, label",
        ),
        (b'{"x": 1}', "data.json", "it holds no array of rows"),
        (b"[1, 2, 3]", "data.json", "holds no row that can be read"),
        (b"[]", "data.json", "holds no row that can be read"),
        (b'[{"text": "a", "label": ', "data.json", "malformed or cut-off JSON after row 0"),
        (b"text,label\n", "data.csv", "can't tell|holds no row|header"),
    ],
)
def test_what_holds_no_rows_is_refused_in_one_line(facts, content, name, message):
    with pytest.raises(InputError, match=message) as raised:
        facts(content, name)
    assert "\n" not in str(raised.value)


def test_json_field_must_exist_and_belong_to_an_object(facts):
    rows = '[{"text": "a b", "label": "x"}]'
    with pytest.raises(InputError, match=r"has no array 'rows'; check data\.json_field"):
        facts(f'{{"data": {rows}}}', "data.json", json_field="rows")
    with pytest.raises(InputError, match="is an array, it has no fields"):
        facts(rows, "data.json", json_field="rows")


def test_inspect_shows_facts_without_reading_all(facts):
    found = facts("text,label\n" + "some words,a\nmore words,b\n" * 10)
    assert found.files == {}
    assert found.encoding == "utf-8"


def test_mixed_encodings_keep_utf8_and_name_the_damage(facts):
    lines = [f"größe {n},x{n % 2}".encode() for n in range(30)]
    lines[7] = "café 7,x1".encode("latin-1")
    found = facts(b"text,label\n" + b"\n".join(lines))
    assert found.encoding == "utf-8"
    assert "undecodable bytes" in found.notes[0]


def test_very_old_line_ends(facts):
    found = facts(b"text,label\rsome words,a\rmore words,b\r")
    assert found.notes[0] == "lines end with a lone carriage return"
    assert found.text_column == "text"
