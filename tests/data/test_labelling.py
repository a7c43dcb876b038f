"""Rows handed out and labels taken back: what goes out comes in, and whatever doesn't is set aside with a reason."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tunewright.data.labelling import reconcile
from tunewright.data.labelling_export import WRITERS, as_csv, as_label_studio, labelling_config
from tunewright.data.labelling_import import read_labels
from tunewright.data.selection import SelectedRow
from tunewright.data.spreadsheets import escaped, unescaped
from tunewright.support.errors import InputError

LABELS = ("refund", "parcel", "other")


def selected(texts, suggested="refund"):
    return [
        SelectedRow(f"row-{n:016x}", n + 1, "in.csv", text, suggested, 0.5, 0.9, "margin", "shop", 3)
        for n, text in enumerate(texts)
    ]


ROWS = selected(["where is it?", "my money back", "do you sell kites?", "=HYPERLINK(1)"])


def csv_of(*rows, head=("id", "label")):
    out = io.StringIO()
    csv.writer(out).writerows([head, *rows])
    return out.getvalue()


@pytest.fixture
def back(tmp_path):
    """Write files that annotators gave back, and reconcile them with the rows that were handed out."""

    def run(*files, rows=ROWS, known=LABELS, **options):
        paths = []
        for at, content in enumerate(files):
            suffix = "json" if content.startswith("[") else "csv"
            paths.append(tmp_path / f"{['ada', 'ben', 'cyd'][at]}.{suffix}")
            paths[-1].write_text(content, encoding="utf-8")
        return reconcile(rows, read_labels(paths), known=known, **options)

    return run


def reasons(found):
    return [(each.id, each.reason) for each in found.set_aside]


def all_labelled(labels):
    return csv_of(*((row.id, label) for row, label in zip(ROWS, labels, strict=True)))


def filled(kind, content, labels):
    """Fill in labels as a person would: into the column, or as an annotation."""
    if kind == "csv":
        head, *rows = csv.reader(io.StringIO(content.removeprefix("\ufeff"), newline=""))
        at = head.index("label")
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(head)
        for row, label in zip(rows, labels, strict=True):
            writer.writerow([*row[:at], escaped(label), *row[at + 1 :]])
        return out.getvalue()
    if kind == "jsonl":
        rows = [json.loads(line) for line in content.split("\n") if line]
        return "\n".join(json.dumps({**row, "label": label}) for row, label in zip(rows, labels, strict=True))
    tasks = json.loads(content)
    for task, label in zip(tasks, labels, strict=True):
        (made,) = [dict(each) for each in task["predictions"][0]["result"]]
        made["value"] = {"choices": [label]}
        task["annotations"] = [{"completed_by": 7, "was_cancelled": False, "result": [made]}]
    return json.dumps(tasks)


words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
names = words.map(str.strip).filter(bool)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(words, names), min_size=1, max_size=12), st.sampled_from(sorted(WRITERS)))
@example([("=1+1", "-x"), ("'=1", "'-x"), ("''", "''")], "csv")
@example([("a\r\nb\rc\n\nd", "two\nlines"), ('say "so", then; or\t', '"')], "csv")
def test_whatever_goes_out_comes_back_with_its_label(tmp_path_factory, pairs, kind):
    rows = selected([text for text, _ in pairs])
    labels = [label for _, label in pairs]
    path = tmp_path_factory.mktemp("out") / f"rows.{'json' if kind == 'label-studio' else kind}"
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(filled(kind, WRITERS[kind](rows), labels))
    found = reconcile(rows, read_labels([path]), known=labels)
    assert reasons(found) == []
    assert [(row.id, row.text, row.label) for row in found.rows] == [
        (row.id, row.text, label) for row, label in zip(rows, labels, strict=True)
    ]


@given(words)
def test_escaping_is_undone_and_leaves_no_formula(cell):
    assert unescaped(escaped(cell)) == cell
    assert not escaped(cell).startswith(("=", "+", "-", "@", "\t", "\r", "＝"))


def test_no_cell_of_the_csv_is_a_formula():
    rows = selected(["=cmd|' /C calc'!A0", "+1", "-2", "@SUM(A1)", "\t=1", "fine"], suggested="=evil()")
    found = list(csv.reader(io.StringIO(as_csv(rows).removeprefix("\ufeff"))))
    assert not [cell for row in found for cell in row if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert as_csv(rows).encode("utf-8").startswith(b"\xef\xbb\xbf"), "Excel reads UTF-8 only with a mark"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_spreadsheet_may_save_as_it_pleases(tmp_path, encoding, delimiter):
    rows = selected(["où est mon colis, s'il vous plaît?", "naïve café", "“quoted”; and more"] * 4)
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(["ID", "Text", "Suggested", "Label"])
    writer.writerows([row.id, row.text, row.suggested, "parcel"] for row in rows)
    (tmp_path / "x.csv").write_bytes(out.getvalue().encode(encoding))
    found = reconcile(rows, read_labels([tmp_path / "x.csv"]), known=LABELS)
    assert reasons(found) == []
    assert {row.label for row in found.rows} == {"parcel"}


def test_an_unknown_label_is_set_aside_with_the_nearest_one(back):
    content = all_labelled(["refund", "refnud", "other", "zebra"])
    found = back(content)
    assert [(each.reason, each.detail) for each in found.set_aside] == [
        ("unknown_label", "'refnud' is no label of this selection; did you mean 'refund'?"),
        ("unknown_label", "'zebra' is no label of this selection"),
    ]
    assert found.set_aside[0].place == "ada.csv row 2"
    allowed = back(content, new_labels=True)
    assert allowed.set_aside == ()
    assert allowed.new_labels == {"refnud": 1, "zebra": 1}


def test_rows_that_are_missing_repeated_strange_or_empty_are_all_named(back):
    ids = [row.id for row in ROWS]
    found = back(
        csv_of(
            (ids[0], "refund", "where is it?"),
            (ids[0], "refund", "where is it?"),
            (ids[1], "refund", "my money, quick"),
            (ids[2], "", "do you sell kites?"),
            ("row-ffff", "refund", ""),
            ("", "refund", ""),
            head=("id", "label", "text"),
        )
    )
    assert [row.id for row in found.rows] == [ids[0]]
    assert reasons(found) == [
        (ids[1], "changed_text"),
        (ids[2], "missing_label"),
        ("row-ffff", "unknown_id"),
        (None, "missing_id"),
        (ids[0], "duplicated_id"),
        (ids[3], "missing_row"),
    ]


def test_an_annotator_who_contradicts_himself_has_no_say(back):
    key = ROWS[0].id
    found = back(csv_of((key, "refund"), (key, "parcel")), all_labelled(["other"] * 4))
    assert {row.id: row.label for row in found.rows}[key] == "other"
    assert reasons(found) == [(key, "duplicated_id")] * 2


def test_a_conflict_is_set_aside_or_settled_by_the_majority_and_a_tie_never_is(back):
    files = [all_labelled(labels) for labels in (["refund", "refund", "other", "other"],
                                                 ["refund", "parcel", "refund", "other"],
                                                 ["refund", "refund", "parcel", "other"])]  # fmt: skip
    ids = [row.id for row in ROWS]
    strict = back(*files)
    assert [row.id for row in strict.rows] == [ids[0], ids[3]]
    assert reasons(strict) == [(ids[1], "conflict")] * 3 + [(ids[2], "conflict")] * 3
    found = back(*files, conflicts="majority")
    assert [(row.id, row.label, row.annotators) for row in found.rows] == [
        (ids[0], "refund", ("ada", "ben", "cyd")),
        (ids[1], "refund", ("ada", "cyd")),
        (ids[3], "other", ("ada", "ben", "cyd")),
    ]
    assert reasons(found) == [(ids[1], "outvoted")] + [(ids[2], "conflict")] * 3
    assert "ben: parcel" in found.set_aside[0].detail


def test_one_file_may_hold_several_annotators(back):
    key = ROWS[0].id
    found = back(
        csv_of(
            (key, "refund", "eve"),
            (key, "parcel", "sam"),
            (key, "parcel", ""),
            head=("id", "label", "annotator"),
        ),
        conflicts="majority",
    )
    assert found.votes[key] == {"eve": "refund", "sam": "parcel", "ada": "parcel"}


def annotation(choices, who, **more):
    result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": choices}}]
    return {"id": 1, "completed_by": who, "result": result if choices is not None else [], **more}


def test_label_studio_exports_with_several_annotations(back):
    tasks = json.loads(as_label_studio(ROWS))
    for number, task in enumerate(tasks, start=100):
        task |= {"id": number, "annotations": []}
    tasks[0]["annotations"] = [
        annotation(["refund"], 1),
        annotation(["refund"], {"id": 2, "email": "b@example.com"}),
    ]
    tasks[1]["annotations"] = [annotation(["refund", "other"], 1), annotation(["parcel"], 2)]
    tasks[2]["annotations"] = [annotation(["refund"], 1, was_cancelled=True), annotation(None, 2)]
    found = back(json.dumps(tasks))
    assert [(row.id, row.label, row.annotators) for row in found.rows] == [
        (ROWS[0].id, "refund", ("1", "2")),
        (ROWS[1].id, "parcel", ("2",)),
    ]
    assert reasons(found) == [
        (ROWS[1].id, "several_labels"),
        (ROWS[2].id, "missing_label"),
        (ROWS[2].id, "missing_label"),
        (ROWS[3].id, "missing_label"),
    ]


def test_label_studios_short_export_is_a_flat_row(back):
    rows = [
        {"id": 5, "row_id": ROWS[0].id, "text": ROWS[0].text, "label": "parcel", "annotator": 3},
        {
            "id": 6,
            "row_id": ROWS[1].id,
            "text": ROWS[1].text,
            "label": {"choices": ["a", "b"]},
            "annotator": 3,
        },
    ]
    found = back(json.dumps(rows))
    assert [(row.label, row.annotators) for row in found.rows] == [("parcel", ("3",))]
    assert reasons(found)[0] == (ROWS[1].id, "several_labels")


def test_the_labelling_configuration_holds_every_label_and_names_what_tasks_refer_to():
    labels = ["a & b", '"quoted"', "<tag>", "ünï"]
    view = ElementTree.fromstring(labelling_config(labels))
    assert [each.get("value") for each in view.iter("Choice")] == labels
    (task,) = json.loads(as_label_studio(ROWS[:1]))
    (made,) = task["predictions"][0]["result"]
    assert view.find("Choices").get("name") == made["from_name"]
    assert view.find("Text").get("name") == made["to_name"]
    assert view.find("Text").get("value") == "$text"
    assert "text" in task["data"]
    with pytest.raises(InputError, match="XML"):
        labelling_config(["bell \x07"])


def test_a_file_without_the_columns_names_the_nearest(back, tmp_path):
    with pytest.raises(InputError, match=r"no column 'label'; did you mean 'labels'\?"):
        back(csv_of((ROWS[0].id, "refund"), head=("id", "labels")))
    with pytest.raises(InputError, match=r"no such file; did you mean 'ada.csv'\?"):
        list(read_labels([Path(tmp_path / "adda.csv")]))
