"""Damaged rows are set aside with their number and reason; damaged files end in one clear line."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import subprocess
import sys
import zipfile

import pytest

from tunewright.config.data import DataConfig
from tunewright.data.cleaning import clean
from tunewright.data.decoding import MAX_ROW_CHARACTERS
from tunewright.data.ingest import ingest
from tunewright.data.sources import inspect, local_files
from tunewright.support.errors import InputError, TunewrightError

GOOD = "".join(f"message number {n} with words,{'ab'[n % 2]}\n" for n in range(20))


def reasons(result):
    """Row numbers and reasons of the rejected rows."""
    return [(entry["row"], entry["reason"]) for entry in result.rejected]


def test_ragged_rows(read):
    result = read("text,label\n" + GOOD + "one,two,three\nalone\ntail,a,\n" + GOOD)
    assert reasons(result) == [(21, "ragged_row"), (22, "ragged_row")]
    assert result.rejected[0]["detail"] == "3 fields where 2 are expected"
    assert result.rejected[0]["source"] == "data.csv"
    assert result.summary.rejected == {"ragged_row": 2}
    assert "1 rows end with surplus delimiters" in result.notes
    assert result.summary.rows == 41
    assert result.rows[20] == {**result.rows[20], "row": 23, "text": "tail", "label": "a"}


def test_short_rows_that_have_text_and_label_are_kept(read):
    result = read("text,label,when,who\n" + "some words here,a,2020,x\nmore words here,b\n" * 5)
    assert result.summary.rejected == {}
    assert "5 rows lack columns at their end" in result.notes
    assert (result.rows[1]["when"], result.rows[1]["who"]) == (None, None)


def test_an_unclosed_quote_costs_one_row(read):
    quoted = "".join(f'"words, many {n}",{"ab"[n % 2]}\n' for n in range(10))
    result = read("text,label\n" + quoted + '"never closed,a\n' + quoted + 'fine,"b\n')
    assert reasons(result) == [(11, "unclosed_quote"), (22, "unclosed_quote")]
    assert result.rejected[0]["text"] == '"never closed,a\n'
    assert result.summary.rows == 20


def test_stray_quotes_are_read_as_they_stand_and_noted(read):
    quoted = "".join(f'"words, many {n}",{"ab"[n % 2]}\n' for n in range(10))
    result = read("text,label\n" + quoted + '"he said "hi" twice",a\n')
    assert result.texts[-1] == 'he said hi" twice"'
    assert "1 rows hold stray quotes" in result.notes


def test_undecodable_bytes_are_set_aside_row_by_row(read):
    rows = [f"größe {n},x{n % 2}".encode() for n in range(30)]
    rows[7] = "café 7,x1".encode("latin-1")
    result = read(b"text,label\n" + b"\n".join(rows))
    assert reasons(result) == [(8, "undecodable")]
    assert result.rejected[0]["text"] == "caf? 7"
    assert read(b"text,label\n" + b"\n".join(rows), encoding="latin-1").summary.rows == 30


def test_blank_lines_and_odd_labels_are_noted(read):
    result = read("text,label\nsome words,ham\n\nmore words, Ham \nand so on,spam\nlast words,\n" * 1)
    assert result.labels == ["ham", "Ham", "spam", None]
    assert "1 blank lines were passed over" in result.notes
    assert "1 labels had white space around them (first: row 2)" in result.notes
    assert "1 rows have no label" in result.notes
    assert "'Ham' and 'ham' differ only in case" in result.notes


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "a", "label":', "malformed_json"),
        ("not json", "malformed_json"),
        ("[" * 100_000, "malformed_json"),
        ("5", "not_a_row"),
        ('["a", "b", "c"]', "ragged_row"),
        ('{"text": ["a"], "label": "x"}', "not_text"),
        ('{"text": {"a": 1}, "label": "x"}', "not_text"),
        ('{"text": "a", "label": ["x", "y"]}', "label_not_text"),
        ('{"text": "half \\ud83d", "label": "x"}', "undecodable"),
        ('{"text": "a", "label": "\\udc00"}', "undecodable"),
    ],
)
def test_bad_lines_of_json_lines(read, line, reason):
    good = '{"text": "some words", "label": "x"}\n'
    result = read(good + line + "\n" + good, "data.jsonl")
    assert reasons(result) == [(2, reason)]
    assert result.texts == ["some words", "some words"]


def test_values_that_are_no_text_become_text(read):
    rows = [
        {"text": 5, "label": 1},
        {"text": 2.5, "label": 1.0},
        {"text": True, "label": True},
        {"text": None, "label": None},
        {"text": float("nan"), "label": float("nan")},
        {"text": 10**30, "label": "x", "more": {"a": [1]}},
    ]
    result = read("\n".join(map(json.dumps, rows)), "data.jsonl", text_column="text", label_column="label")
    assert result.texts == ["5", "2.5", "true", None, None, str(10**30)]
    assert result.labels == ["1", "1", "true", None, None, "x"]
    assert result.rows[-1]["more"] == '{"a": [1]}'
    assert "4 texts were numbers, booleans or dates (first: row 1)" in result.notes
    assert "2 rows have no text (first: row 4)" in result.notes
    assert result.summary.unique == 4
    assert result.rows[3]["digest"] is None


def test_json_that_breaks_off_names_the_row(read):
    rows = json.dumps([{"text": f"some words {n}", "label": "ab"[n % 2]} for n in range(3000)])
    with pytest.raises(InputError, match=r"malformed or cut-off JSON after row 2,9\d\d"):
        read(rows[:-500], "data.json")
    with pytest.raises(InputError, match="more text follows the end of the array"):
        read(rows + "[]", "data.json")


def test_parquet_that_was_cut_off_or_damaged(tmp_path, read):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"text": [f"some words {n}" * 5 for n in range(9000)], "label": ["a", "b"] * 4500})
    path = tmp_path / "data.parquet"
    pq.write_table(
        table, path, compression="none", use_dictionary=False, row_group_size=3000, write_page_checksum=True
    )
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"data\.parquet: is damaged or cut-off Parquet in its footer"):
        read(path)
    middle = len(content) * 2 // 3
    path.write_bytes(content[:middle] + b"\xff" * 2000 + content[middle + 2000 :])
    with pytest.raises(InputError, match=r"is damaged or cut-off Parquet after row") as raised:
        read(path)
    assert "\n" not in str(raised.value)


def test_parquet_columns_of_many_types(tmp_path, read):
    import datetime as dt
    from decimal import Decimal

    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "text": pa.array([b"bytes as text", "größe".encode(), b"caf\xe9"], pa.binary()),
            "label": pa.array(["a", "b", "a"]).dictionary_encode(),
            "when": [dt.date(2024, 1, 2)] * 3,
            "cost": [Decimal("1.50")] * 3,
            "tags": [["x", "y"], [], None],
            "row": [7, 8, 9],
        }
    )
    pq.write_table(table, tmp_path / "data.parquet")
    result = read(tmp_path / "data.parquet")
    assert result.texts == ["bytes as text", "größe"]
    assert reasons(result) == [(3, "undecodable")]
    first = result.rows[0]
    assert (first["when"], first["cost"], first["tags"]) == ('"2024-01-02"', '"1.50"', '["x", "y"]')
    assert (first["row"], first["row_in_source"]) == (1, "7")


@pytest.mark.parametrize(
    ("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_compressed_files(read, suffix, compress):
    content = compress(("text,label\n" + GOOD).encode())
    assert read(content, f"data.csv.{suffix}").summary.rows == 20
    with pytest.raises(InputError, match=r"data\.csv\.\w+: "):
        read(content[: len(content) // 2], f"data.csv.{suffix}")
    with pytest.raises(InputError, match=r"data\.csv\.\w+: "):
        read(b"no archive at all", f"data.csv.{suffix}")


def test_zip_archives_hold_one_file(read):
    def archive(*names):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as file:
            for name in names:
                file.writestr(name, "text,label\n" + GOOD)
        return stream.getvalue()

    assert read(archive("a.csv", "__MACOSX/._a.csv"), "data.csv.zip").summary.rows == 20
    with pytest.raises(InputError, match="holds 2 files and one is expected"):
        read(archive("a.csv", "b.csv"), "data.csv.zip")
    with pytest.raises(InputError, match="damaged or cut off"):
        read(b"PK\x03\x04 no", "data.csv.zip")


def test_a_folder_is_read_in_the_order_of_names(tmp_path, read):
    folder = tmp_path / "parts"
    (folder / "more").mkdir(parents=True)
    (folder / ".cache").mkdir()
    for name in ("b.csv", "a.csv", "more/c.csv", ".hidden.csv", ".cache/x.csv", "README.md"):
        (folder / name).write_text(f"text,label\nsome words of {name},x\nother words of {name},y\n")
    result = read(folder)
    assert [row["source"] for row in result.rows] == ["a.csv"] * 2 + ["b.csv"] * 2 + ["more/c.csv"] * 2
    assert [row["row"] for row in result.rows] == [1, 2, 3, 4, 5, 6]
    assert result.summary.facts.files == {"a.csv": 2, "b.csv": 2, "more/c.csv": 2}
    assert "README.md" in result.notes
    config = DataConfig(source="parts/*.csv")
    assert [path.name for path in local_files(config, base_dir=tmp_path)] == ["a.csv", "b.csv"]
    assert [path.name for path in local_files(DataConfig(source="parts"), base_dir=tmp_path)] == [
        "a.csv",
        "b.csv",
        "c.csv",
    ]


def test_mixed_schemas_are_refused_by_name(tmp_path, read):
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "a.csv").write_text("text,label\n" + GOOD)
    (folder / "b.csv").write_text("message,label\n" + GOOD)
    with pytest.raises(
        InputError, match=r"b\.csv: has the columns message, label where the files before it have text, label"
    ):
        read(folder)
    (folder / "b.csv").write_text(GOOD)
    with pytest.raises(InputError, match=r"b\.csv: has the columns column_1, column_2"):
        read(folder)


def test_headerless_parts_follow_the_first(tmp_path, read):
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "a.csv").write_text(GOOD)
    (folder / "b.csv").write_text("Hello there,a\n" + GOOD)
    assert read(folder).summary.rows == 41


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "data.source: is not set"),
        ("mesages.csv", r"no such file or folder; did you mean 'messages.csv'\?"),
        ("nowhere/messages.csv", "no such file or folder"),
        ("empty", "holds no file to read"),
        ("*.nothing", "no file matches the pattern"),
        ("s4://bucket/x", "the protocol 's4' is not known; did you mean"),
        ("file:///no/such.csv", "no such file"),
        ("https://127.0.0.1:9/data.csv?sig=SECRET", r"^https://127.0.0.1:9/data\.csv: can't be reached"),
    ],
)
def test_wrong_sources(tmp_path, source, message):
    (tmp_path / "messages.csv").write_text("text,label\n" + GOOD)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message) as raised:
        inspect(DataConfig(source=source), base_dir=tmp_path)
    assert "SECRET" not in str(raised.value)


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    monkeypatch.setitem(sys.modules, "adlfs", None)
    for url in ("gs://bucket/x.csv", "abfs://box/x.csv"):
        with pytest.raises(InputError, match=r"needs an extra; pip install 'tunewright\[cloud\]'"):
            inspect(DataConfig(source=url), base_dir=tmp_path)


def test_all_rows_bad_or_too_many_labels(read):
    lines = "\n".join(["not json"] * 3)
    with pytest.raises(InputError, match="holds no row that can be read"):
        read(lines, "data.jsonl", format="jsonl")
    many = "text,label\n" + "".join(f"words {n},label {n}\n" for n in range(10_001))
    with pytest.raises(InputError, match="'label' holds over 10,000 different labels"):
        read(many)


def test_nothing_is_left_or_lost_when_reading_fails(tmp_path, read):
    read("text,label\n" + GOOD)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    rows = json.dumps([{"text": f"some words {n}", "label": "ab"[n % 2]} for n in range(3000)])
    with pytest.raises(InputError):
        read(rows[:-5], "data.json")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv", "data.json", "out"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "data.csv").write_text("text,label\n" + GOOD)
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(TunewrightError, match="can't be written"):
        ingest(DataConfig(source="data.csv"), base_dir=tmp_path, out=tmp_path / "out" / "rows")
    assert (tmp_path / "out").read_text() == "a file where the folder should be"


@pytest.mark.parametrize("step", ["ingest", "clean"])
def test_a_disk_without_room_is_one_line_and_leaves_what_was_there(tmp_path, step):
    resource = pytest.importorskip("resource")
    config = DataConfig(source="data.csv")
    random = "".join(
        f"{n * 7919 % 100_003:x} {n * 104_729 % 999_983:x},{'ab'[n % 2]}\n" for n in range(20_000)
    )
    (tmp_path / "data.csv").write_text("text,label\n" + random)
    ingest(config, base_dir=tmp_path, out=tmp_path / "rows")
    clean(tmp_path / "rows", config.cleaning, out=tmp_path / "clean")
    again = {
        "ingest": lambda: ingest(config, base_dir=tmp_path, out=tmp_path / "rows"),
        "clean": lambda: clean(tmp_path / "rows", config.cleaning, out=tmp_path / "clean"),
    }
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(TunewrightError, match=r"can't be written .*; free some space"):
            again[step]()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


MEMORY = """
import resource, sys
from pathlib import Path
import numpy, pyarrow.parquet, charset_normalizer
from tunewright.config.data import Cleaning, DataConfig
from tunewright.data.cleaning import clean
from tunewright.data.ingest import ingest

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
root = Path(sys.argv[1])
config = DataConfig(source=sys.argv[2], text_column="text", label_column="label")
summary = ingest(config, base_dir=root, out=root / "rows")
clean(root / "rows", Cleaning(), out=root / "clean")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, summary.rows, len(summary.rejected))
"""


def memory_of(folder, name):
    """Ingest and clean in a process of its own: megabytes above the start, rows, kinds of rejected rows."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(folder), name], capture_output=True, text=True, check=True
    )
    return tuple(map(int, done.stdout.split()))


def write_rows(path, rows):
    """Write rows of three kilobytes."""
    text = "a message that goes on and on, " * 100
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        with pq.ParquetWriter(path, pa.schema({"text": pa.string(), "label": pa.string()})) as writer:
            for start in range(0, rows, 1000):
                texts = [f"{n} {text}" for n in range(start, start + 1000)]
                writer.write_table(pa.table({"text": texts, "label": ["a", "b"] * 500}))
        return
    form = '"{text}",{label}' if path.suffix == ".csv" else '{{"text": "{text}", "label": "{label}"}}'
    start, between, end = ("[", ",", "]") if path.suffix == ".json" else ("", "\n", "\n")
    with path.open("w") as stream:
        stream.write("text,label\n" if path.suffix == ".csv" else start)
        stream.write(between.join(form.format(text=text, label=n % 2) for n in range(rows)) + end)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data.csv", "data.jsonl", "data.json", "data.parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path, name):
    grown = []
    for rows in (5_000, 30_000):
        write_rows(tmp_path / name, rows)
        megabytes, read_rows, rejected = memory_of(tmp_path, name)
        assert (read_rows, rejected) == (rows, 0)
        grown.append(megabytes)
    assert grown[1] - grown[0] < 40, grown  # the larger file holds 77 MB more text


def test_an_endless_line_costs_no_memory(tmp_path):
    with (tmp_path / "data.csv").open("w") as stream:
        stream.write("text,label\nfirst words,a\nsecond words,b\n" + "x" * 1000)
        for _ in range(200):
            stream.write("y" * (1 << 20))
        stream.write(",a\nlast words,b\n")
    grown, rows, rejected = memory_of(tmp_path, "data.csv")
    assert (rows, rejected) == (3, 1)
    assert grown < 150


def test_a_row_over_the_bound_is_rejected_with_its_number(read):
    endless = "y" * (MAX_ROW_CHARACTERS + 10)
    result = read(f"text,label\nfirst words,a\n{endless},a\nlast words,b\n")
    assert reasons(result) == [(2, "row_too_long")]
    assert result.texts == ["first words", "last words"]
    with pytest.raises(InputError, match=r"after row 1 \(a value is malformed or over 4,000,000 characters"):
        read(json.dumps([{"text": "a b", "label": "x"}, {"text": endless * 2, "label": "x"}]), "data.json")
