"""What happens to bad rows, and when a run stops."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from parts_fixture import messages, read_rows, read_sms, write_source

from tunewright.config.data import Validation
from tunewright.data.validation import ValidationSummary, validate
from tunewright.support.errors import InputError, TunewrightError

LENIENT = Validation(max_quarantined_share=1.0)


def judged(tmp_path, rows, config=LENIENT, **source):
    folder = write_source(tmp_path / "in", rows, **source)
    summary = validate(folder, config, out=tmp_path / "out", quarantine=tmp_path / "quarantine.jsonl")
    lines = (tmp_path / "quarantine.jsonl").read_text().splitlines()
    kept = read_rows(tmp_path / "out")
    return summary, [json.loads(line) for line in lines], kept


@pytest.mark.parametrize(
    ("label", "text", "reason"),
    [
        ("bug", None, "empty_text"),
        ("bug", "", "empty_text"),
        ("bug", " \t\u00a0\u200b ", "empty_text"),
        (None, "no label here at all", "missing_label"),
        ("  ", "a blank label here", "missing_label"),
        ("bug", "\ufffd\ufffd\ufffd\ufffdab", "not_text"),
        ("bug", "\x00\x01\x02\x03PK", "not_text"),
        ("bgu", "a label that nobody knows", "unknown_label"),
        ("bug", "abc", "too_short"),
        ("bug", "long " * 50, "too_long"),
    ],
)
def test_a_bad_row_goes_to_quarantine_with_its_number_and_reason(tmp_path, label, text, reason):
    config = Validation(
        labels=("bug", "praise"), min_characters=4, max_characters=200, max_quarantined_share=1.0
    )
    summary, lines, kept = judged(tmp_path, [*messages(10), (label, text)], config)
    assert summary.quarantined == {reason: 1}
    assert (lines[0]["row"], lines[0]["reason"], lines[0]["source"]) == (11, reason, "messages.tsv")
    assert lines[0]["detail"]
    assert [row["row"] for row in kept] == list(range(1, 11))


@pytest.mark.parametrize("text", [":-) :-)", "645", "?", "今天", "😡😡", "e\u0301t\u00e9"])
def test_short_and_wordless_messages_are_text(tmp_path, text):
    summary, _, kept = judged(tmp_path, [*messages(10), ("bug", text)])
    assert summary.kept == 11
    assert kept[-1]["text"] == text


def test_only_the_first_of_exact_copies_stays_and_copies_never_stop_a_run(tmp_path):
    rows = messages(10) * 5
    summary, lines, kept = judged(tmp_path, rows, Validation(max_quarantined_share=0.0))
    assert summary.quarantined == {"exact_duplicate": 40}
    assert [row["row"] for row in kept] == list(range(1, 11))
    assert "row 1" in lines[0]["detail"]


def test_copies_can_be_kept_and_share_a_cluster(tmp_path):
    summary, _, kept = judged(tmp_path, messages(6) * 2, Validation(duplicates="keep"))
    assert summary.kept == 12
    assert [row["group"] for row in kept] == [row["text_group"] for row in kept] == [*range(1, 7)] * 2


def test_copies_are_told_by_the_text_as_read(tmp_path):
    """Cleaning can make two texts equal; they are the same text for splits, but no copies."""
    folder = write_source(
        tmp_path / "in", [*messages(6), ("bug", "fish &amp; chips"), ("bug", "fish & chips")]
    )
    table = pq.read_table(folder / "part-00000.parquet")
    cleaned = [text.replace("&amp;", "&") for text in table["text"].to_pylist()]
    pq.write_table(table.set_column(2, "text", [cleaned]), folder / "part-00000.parquet")
    summary = validate(folder, Validation(), out=tmp_path / "out", quarantine=tmp_path / "q")
    assert summary.quarantined == {}
    assert [row["text_group"] for row in read_rows(tmp_path / "out")][-2:] == [7, 7]


@pytest.mark.parametrize(("policy", "left"), [("quarantine", []), ("majority", [7, 9]), ("keep", [7, 8, 9])])
def test_contradictions_follow_the_policy(tmp_path, policy, left):
    same = [("bug", "Where is my card?"), ("praise", "where is  MY card?"), ("bug", "Where is my CARD?")]
    config = Validation(conflicts=policy, max_quarantined_share=1.0)
    summary, lines, kept = judged(tmp_path, [*messages(6), *same], config)
    assert [row["row"] for row in kept if row["row"] > 6] == left
    assert summary.quarantined.get("conflicting_label", 0) == 3 - len(left)
    if policy == "majority":
        assert lines[0]["row"] == 8
        assert "row 7" in lines[0]["detail"]


def test_copies_vote_in_a_majority_and_a_tie_sets_all_aside(tmp_path):
    config = Validation(conflicts="majority", max_quarantined_share=1.0)
    voted = [("bug", "refund please"), ("praise", "refund please"), ("praise", "refund please")]
    tied = [("bug", "thanks a lot"), ("praise", "Thanks a lot")]
    _, _, kept = judged(tmp_path, [*messages(6), *voted, *tied], config)
    assert [row["row"] for row in kept if row["row"] > 6] == [8]


def test_punctuation_can_carry_the_label(tmp_path):
    summary, _, kept = judged(tmp_path, [*messages(6), ("praise", "great :)"), ("bug", "great :(")])
    assert summary.quarantined == {}
    assert kept[-1]["text_group"] == 7


def test_rows_that_ingest_rejected_are_in_the_same_file_by_row_number(tmp_path):
    rejected = [{"row": 12, "source": "a.csv", "reason": "unreadable", "detail": "open quote", "raw": "x"}]
    rows = [*messages(10), ("bug", ""), ("bug", " ")]
    summary, lines, _ = judged(tmp_path, rows, rejected=rejected)
    assert summary.rows == 13
    assert summary.quarantined == {"empty_text": 2, "unreadable": 1}
    assert sorted(line["row"] for line in lines) == [line["row"] for line in lines]


def test_too_many_bad_rows_stop_the_run_and_the_quarantine_says_why(tmp_path):
    rows = [*messages(10), ("bug", ""), ("bug", ""), (None, "no label")]
    with pytest.raises(InputError) as failure:
        judged(tmp_path, rows, Validation())
    line = str(failure.value)
    assert "3 of 13 rows are bad" in line
    assert "empty_text 2" in line
    assert str(tmp_path / "quarantine.jsonl") in line
    assert "\n" not in line
    assert len((tmp_path / "quarantine.jsonl").read_text().splitlines()) == 3
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rows", "config", "told"),
    [
        ([("bug", f"text number {n}") for n in range(9)], LENIENT, "only the label 'bug'"),
        ([("bug", ""), ("praise", " ")], LENIENT, "no row is left"),
        ([], LENIENT, "no row is left"),
        ([*messages(10), ("rare", "once"), ("rare", "twice")], LENIENT, "'rare' has 2 good rows"),
        (messages(10), Validation(labels=("bug", "praise", "spam")), "'spam' has 0 good rows"),
        (messages(10), Validation(min_rows_per_label=6), "has 5 good rows, at least 6"),
        (messages(10), Validation(phone_regions=("Britain",)), "'Britain' is not a country code"),
    ],
)
def test_data_that_cannot_be_learnt_from_stops_with_one_line(tmp_path, rows, config, told):
    with pytest.raises(InputError) as failure:
        judged(tmp_path, rows, config)
    assert told in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_stopped_run_leaves_the_last_good_rows_as_they_were(tmp_path):
    judged(tmp_path, messages(10))
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(InputError):
        judged(tmp_path, [("bug", "only one label")] * 4)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_flags_are_counted_by_kind_and_rows_kept(tmp_path):
    rows = [
        *messages(20),
        ("bug", "the key is AKIAIOSFODNN7EXAMPLE, do not share it"),
        ("bug", "write to ann.smith@example.org about it"),
        ("praise", "mein Konto wurde gestern gesperrt und ich brauche bitte dringend Ihre Hilfe dabei"),
        ("praise", "very " * 400 + "good"),
    ]
    english = [
        ("bug", f"{text} and I really would like somebody to help me") for _, text in messages(60)[20:]
    ]
    summary, lines, _ = judged(tmp_path, [*rows, *english])
    assert lines == []
    assert summary.kept == 64
    assert summary.flags["secret:aws_access_key"] == 1
    assert summary.flags["personal_data:email"] == 1
    assert summary.flagged_rows["language_outlier"] == (23,)
    assert 24 in summary.flagged_rows["length_outlier"]
    assert summary.languages["en"] > 20


def test_flagged_secrets_can_go_to_quarantine_where_their_text_is_withheld(tmp_path):
    rows = [*messages(10), ("bug", "the key is AKIAIOSFODNN7EXAMPLE"), ("bug", "mail me: a@example.org")]
    config = Validation(quarantine_flagged=True, max_quarantined_share=1.0)
    summary, lines, _ = judged(tmp_path, rows, config)
    assert summary.quarantined == {"secret": 1}
    assert lines[0]["row"] == 11
    for file in [tmp_path / "quarantine.jsonl", *(tmp_path / "out").iterdir()]:
        assert b"AKIA" not in file.read_bytes()
    assert "secret:aws_access_key" not in summary.flags


def test_the_quarantine_shows_a_bounded_text(tmp_path):
    config = Validation(max_characters=1000, max_quarantined_share=1.0)
    _, lines, _ = judged(tmp_path, [*messages(10), ("bug", "word " * 100_000)], config)
    assert len(lines[0]["text"]) == 500


def test_many_parts_give_the_same_as_one(tmp_path):
    rows = [*messages(40), *messages(5), ("bug", ""), *messages(60)[40:]]
    one = judged(tmp_path / "one", rows)
    many = judged(tmp_path / "many", rows, rows_a_part=7)
    assert one == many
    assert (tmp_path / "many" / "out" / "cleaning.json").exists()
    assert (
        ValidationSummary.model_validate_json((tmp_path / "many/out/validation.json").read_text()) == many[0]
    )


def test_a_damaged_part_is_named(tmp_path):
    folder = write_source(tmp_path / "in", messages(10))
    part = folder / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:200])
    with pytest.raises(InputError, match=r"part-00000\.parquet: can't be read"):
        validate(folder, Validation(), out=tmp_path / "out", quarantine=tmp_path / "q")


def test_a_part_without_a_column_is_named(tmp_path):
    folder = write_source(tmp_path / "in", messages(10))
    part = folder / "part-00000.parquet"
    pq.write_table(pq.read_table(part).drop_columns(["digest"]), part)
    with pytest.raises(InputError, match=r"part-00000\.parquet: can't be read.*digest"):
        validate(folder, Validation(), out=tmp_path / "out", quarantine=tmp_path / "q")


def test_an_unwritable_place_is_one_line(tmp_path):
    folder = write_source(tmp_path / "in", messages(10))
    (tmp_path / "file").write_text("")
    for places in (
        {"out": tmp_path / "file" / "out", "quarantine": tmp_path / "q"},
        {"out": tmp_path / "out", "quarantine": tmp_path / "file" / "q"},
    ):
        with pytest.raises(TunewrightError, match="can't be written"):
            validate(folder, Validation(), **places)


def test_the_sms_collection_keeps_its_5171_unique_texts(tmp_path: Path, sms: Path):
    summary, lines, _ = judged(tmp_path, read_sms(sms), Validation())
    assert (summary.rows, summary.kept) == (5574, 5171)
    assert summary.quarantined == {"exact_duplicate": 403}
    assert summary.labels == {"ham": 4518, "spam": 653}
    assert summary.quality["near_duplicate_rows"] == 174
    assert len(lines) == 403
