"""Feedback: checked, appended whole, read back whole."""

from __future__ import annotations

import threading

import pytest
from pydantic import ValidationError

from tunewright.monitoring.feedback import Feedback, give_feedback, read_feedback
from tunewright.support.errors import InputError


def test_what_was_said_is_read_back_in_order(tmp_path):
    path = tmp_path / "monitoring" / "feedback.jsonl"
    given = [
        Feedback(prediction_id="p-1", label="spam", key="ci"),
        Feedback(prediction_id="p-1", rating="bad", comment="no"),
        Feedback(prediction_id="p-2", answer="A better one.\nWith two lines."),
    ]
    for each in given:
        give_feedback(path, each, known_labels={"ham", "spam"})
    read = read_feedback(path)
    assert read.rows == tuple(given)
    assert read.unreadable == {}
    assert path.stat().st_mode & 0o077 == 0
    assert read_feedback(tmp_path / "nothing").rows == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"prediction_id": "p"},
        {"prediction_id": "p", "comment": "says nothing"},
        {"prediction_id": "", "rating": "good"},
        {"prediction_id": "a b", "rating": "good"},
        {"prediction_id": "p", "rating": "fine"},
        {"prediction_id": "p", "label": "  "},
        {"prediction_id": "p", "label": "x", "stars": 5},
        {"prediction_id": "p", "answer": "x" * 20_001},
    ],
)
def test_what_says_nothing_or_too_much_is_refused(wrong):
    with pytest.raises(ValidationError):
        Feedback(**wrong)


def test_a_label_that_the_model_does_not_know_names_the_nearest(tmp_path):
    with pytest.raises(InputError, match="did you mean 'spam'"):
        give_feedback(tmp_path / "f", Feedback(prediction_id="p", label="spma"), known_labels=["ham", "spam"])
    assert read_feedback(tmp_path / "f").rows == ()


def test_a_line_that_a_kill_left_unfinished_is_named_and_harms_no_other(tmp_path):
    path = tmp_path / "feedback.jsonl"
    give_feedback(path, Feedback(prediction_id="p-1", rating="good"))
    with path.open("ab") as stream:
        stream.write(b'{"prediction_id": "p-2", "rat')
    give_feedback(path, Feedback(prediction_id="p-3", rating="bad"))
    read = read_feedback(path)
    assert [row.prediction_id for row in read.rows] == ["p-1", "p-3"]
    assert list(read.unreadable) == [2]


def test_many_at_once_are_all_kept(tmp_path):
    path = tmp_path / "feedback.jsonl"
    threads = [
        threading.Thread(
            target=give_feedback,
            args=(path, Feedback(prediction_id=f"p-{at}", comment="x" * 500, rating="good")),
        )
        for at in range(16)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(read_feedback(path).rows) == 16
