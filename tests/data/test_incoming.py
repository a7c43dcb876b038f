"""Texts without labels: what is taken for the text, and that every row is either kept or set aside."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.config.data import Cleaning, DataConfig, Validation
from tunewright.data.columns import Incoming
from tunewright.data.incoming import content_digest, take_in
from tunewright.data.parts import read_parts
from tunewright.support.errors import InputError

SENTENCES = [
    "Well, where is it, please?",
    "I paid twice, mind you",
    "Say, do you ship to Malta?",
    "No, thanks",
]


@pytest.fixture
def take(tmp_path):
    """Write a file and take it in."""

    def run(content, name, incoming=None, **options):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        taken = take_in(
            DataConfig(source=name, **options),
            Cleaning(),
            Validation(),
            base_dir=tmp_path,
            out=tmp_path / "out",
            incoming=incoming or Incoming(),
        )
        rows = [row for table in read_parts(tmp_path / "out") for row in table.to_pylist()]
        lines = (tmp_path / "out" / "quarantine.jsonl").read_text(encoding="utf-8").split("\n")
        return taken, rows, [json.loads(line) for line in lines if line]

    return run


@pytest.mark.parametrize("name", ["notes.txt", "notes", "notes.csv"])
def test_a_line_is_one_text_though_its_commas_are_as_regular_as_columns(take, name):
    head = "text\n" if name.endswith(".csv") else ""
    taken, rows, _ = take(head + "\n".join(SENTENCES * 5), name)
    assert [row["text"] for row in rows] == SENTENCES * 5
    assert taken.source.label_column is None
    assert "one text" in " ".join(taken.source.notes)


def test_a_first_line_that_names_the_column_is_no_text(take):
    _, rows, _ = take("message\nhello there, you\nand goodbye\n", "notes.txt")
    assert [row["text"] for row in rows] == ["hello there, you", "and goodbye"]


def test_a_column_alone_may_be_quoted(take):
    out = io.StringIO()
    csv.writer(out).writerows([["text"], *([text] for text in [*SENTENCES, 'say "so", then\nmore'])])
    _, rows, _ = take(out.getvalue(), "notes.csv")
    assert [row["text"] for row in rows] == [*SENTENCES, 'say "so", then more']


@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_columns_are_found_by_the_names_that_training_used(take, delimiter):
    lines = ["ref,words,team", *(f"{n},something about {n} or more,{'ab'[n % 2]}" for n in range(20))]
    content = "\n".join(lines).replace(",", delimiter)
    _, rows, _ = take(content, "in.csv", Incoming(text_column="words", label_column="team"))
    assert rows[3]["text"] == "something about 3 or more"
    assert rows[3]["label"] == "b"
    _, rows, _ = take(content, "in.csv", Incoming(text_column="absent", label_column="absent"))
    assert rows[3]["text"] == "something about 3 or more", "the longest values are the text"
    assert rows[3]["label"] is None, "a label is never guessed from what a column holds"


def test_labels_that_are_no_labels_keep_no_row_from_being_answered(take):
    values = [{"text": f"text number {n}", "labels": ["a", "b"]} for n in range(5)]
    _, rows, aside = take("\n".join(map(json.dumps, values)), "in.jsonl")
    assert [row["label"] for row in rows] == [None] * 5
    assert aside == []


def test_a_column_of_ids_called_topic_is_not_too_many_labels(take):
    lines = ["text,topic", *(f"text number {n},{n}" for n in range(10_050))]
    _, rows, _ = take("\n".join(lines), "in.csv")
    assert len(rows) == 10_050


def test_cleaning_and_rules_on_texts_hold_and_copies_stay(take):
    content = "text\n  fish &amp; chips  \n   \nfish &amp; chips\n\x00\x01\x02\n" + "x" * 200 + "\n"
    taken, rows, aside = take(content, "in.csv")
    assert [row["text"] for row in rows[:2]] == ["fish & chips"] * 2
    assert [(entry["row"], entry["reason"]) for entry in aside] == [(2, "empty_text"), (4, "empty_text")]
    assert taken.quarantined == {"empty_text": 2}
    assert taken.rows == len(rows) == 3


def test_the_digest_knows_content_and_not_names(tmp_path):
    for name, text in (("a.csv", "text\nhello"), ("b.csv", "text\nhello"), ("c.csv", "text\nhallo")):
        (tmp_path / name).write_text(text)
    a, b, c = (content_digest(DataConfig(source=f"{name}.csv"), base_dir=tmp_path) for name in "abc")
    assert a == b != c


def test_a_source_without_any_readable_row_is_refused_and_leaves_nothing(take, tmp_path):
    with pytest.raises(InputError, match="row"):
        take('{"text": \n{{{\n', "in.jsonl")
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.glob(".out*")) == []


texts = st.text(st.characters(codec="utf-8"), max_size=60)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(texts, min_size=1, max_size=30), kind=st.sampled_from(["csv", "jsonl", "json", "parquet"])
)
def test_every_row_is_kept_or_set_aside(values, kind, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    path = folder / f"in.{kind}"
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"text": values, "n": [*map(str, range(len(values)))]}), path)
    elif kind == "csv":
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
            writer.writerows(
                [["text", "n"], *([text.replace("\x00", ""), str(n)] for n, text in enumerate(values))]
            )
    else:
        rows = [{"text": text, "n": n} for n, text in enumerate(values)]
        content = json.dumps(rows) if kind == "json" else "\n".join(map(json.dumps, rows))
        path.write_text(content, encoding="utf-8")
    taken = take_in(
        DataConfig(source=str(path)),
        Cleaning(),
        Validation(),
        base_dir=folder,
        out=folder / "out",
        incoming=Incoming(),
    )
    kept = [row for table in read_parts(folder / "out", ("row",)) for row in table["row"].to_pylist()]
    lines = (folder / "out" / "quarantine.jsonl").read_text(encoding="utf-8").split("\n")
    aside = [json.loads(line)["row"] for line in lines if line]
    assert sorted(kept + aside) == [*range(1, len(values) + 1)]
    assert taken.rows == len(kept)
