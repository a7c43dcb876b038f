"""Real files, sound and damaged, are read to the last row, with a report of what is odd about them."""

from __future__ import annotations

import pytest


def test_sms_spam_collection_is_read_without_quoting(read, sms):
    result = read(sms)
    assert result.summary.rows == 5574
    assert result.summary.unique == 5171
    assert result.summary.labels == {"ham": 4827, "spam": 747}
    assert result.summary.rejected == {}
    facts = result.summary.facts
    assert (facts.format, facts.encoding, facts.delimiter) == ("tsv", "utf-8", "tab")
    assert (facts.quoting, facts.header) == ("none", False)
    assert (facts.label_column, facts.text_column) == ("column_1", "column_2")
    assert facts.files == {"SMSSpamCollection": 5574}
    assert "403 rows repeat the text of an earlier row" in result.notes
    lines = sms.read_text(encoding="utf-8").split("\n")[:-1]
    assert [f"{row['label']}\t{row['text']}" for row in result.rows] == lines
    assert [row["row"] for row in result.rows] == list(range(1, 5575))


def test_default_quoting_would_lose_rows_and_is_only_done_when_told(read, sms):
    assert read(sms, quoting="minimal").summary.rows < 5574


@pytest.mark.parametrize(
    ("name", "rows", "labels", "notes"),
    [
        (
            "siva_SMSSpamCollection",
            5680,
            {"spam": 840, "ham": 4840},
            ["11 texts are written in styled Unicode letters", "403 rows repeat", "control or zero-width"],
        ),
        (
            "kaggle_spam.csv",
            5573,
            {"ham": 4825, "spam": 748},
            [
                "is not UTF-8; it reads as cp1252",
                "lines end with CRLF",
                "3 columns have no name",
                "50 rows hold something in columns without a name",
                "368 texts are garbled",
                "2 texts hold carriage returns",
                "403 rows repeat",
            ],
        ),
        (
            "krishnaik_SMSSpamCollection_crlf",
            5574,
            {"ham": 4827, "spam": 747},
            ["lines end with CRLF", "309 texts hold HTML entities", "403 rows repeat"],
        ),
    ],
)
def test_damaged_copies_are_read_with_a_report(read, shared, name, rows, labels, notes):
    result = read(shared / "data" / "sms_spam_dirty" / name)
    assert result.summary.rows == rows
    assert result.summary.labels == labels
    assert result.summary.rejected == {}
    for note in notes:
        assert note in result.notes
    assert not any(text.endswith("\r") for text in result.texts)


def test_line_ends_do_not_change_the_texts(read, shared, sms):
    crlf = read(shared / "data" / "sms_spam_dirty" / "krishnaik_SMSSpamCollection_crlf")
    assert crlf.texts == read(sms).texts


def test_banking77_is_read_with_line_breaks_in_quotes(read, shared):
    result = read(shared / "data" / "banking77" / "train.csv")
    assert result.summary.rows == 10003
    assert len(result.summary.labels) == 77
    assert (result.summary.facts.text_column, result.summary.facts.label_column) == ("text", "category")
    assert "10 rows hold line breaks inside quotes" in result.notes


def test_clinc150_gives_the_split_that_is_asked_for(read, shared):
    path = shared / "data" / "clinc150" / "data_full.json"
    train = read(path)
    assert train.summary.rows == 15000
    assert len(train.summary.labels) == 150
    assert "not read: oos_val, val" in train.notes
    test = read(path, json_field="oos_test")
    assert test.summary.rows == 1000
    assert test.summary.labels == {"oos": 1000}


def test_json_lines_with_nested_fields_keep_them_as_json(read, shared):
    result = read(
        shared / "data" / "self_instruct" / "seed_tasks.jsonl",
        text_column="instruction",
        label_column="is_classification",
    )
    assert result.summary.rows == 175
    assert set(result.summary.labels) == {"true", "false"}
    assert result.rows[0]["instances"].startswith('[{"input": ')


def test_a_folder_of_unlike_files_is_refused(read, shared):
    from tunewright.support.errors import InputError

    with pytest.raises(InputError, match=r"several formats \(csv, json\).*set data.format"):
        read(shared / "data" / "banking77")
    both = read(shared / "data" / "banking77", format="csv")
    assert both.summary.facts.files == {"test.csv": 3080, "train.csv": 10003}
    assert "not read" in both.notes
