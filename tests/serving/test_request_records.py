"""What a real server keeps of requests, and what people say of answers."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
import requests
from guarded import project_with_config

from running import LABELS, TEXTS, Running
from tunewright.monitoring.feedback import FILE, read_feedback
from tunewright.monitoring.reading import find, read_requests
from tunewright.monitoring.request_log import FOLDER
from tunewright.registry.lineage import row_digest

SECRET_TEXT = "my parcel 4471 for ada@example.org never came"


@pytest.fixture(scope="module")
def kept(start, copies, tmp_path_factory) -> tuple[Running, Path]:
    """A server in a project, and the project's local state."""
    root = project_with_config(tmp_path_factory.mktemp("kept"))
    words = ("serving.drain_notice_s=0", "monitoring.request_log.flush_s=0.2")
    return start(copies("openvino:fp32"), *words, cwd=root), root / ".tunewright"


def rows_of(state: Path, request_id: str, wanted: int) -> list[dict]:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        rows = [
            row for row in read_requests(state / FOLDER).rows.to_pylist() if row["request_id"] == request_id
        ]
        if len(rows) >= wanted:
            return sorted(rows, key=lambda row: row["prediction_id"])
        time.sleep(0.1)
    raise AssertionError(f"no {wanted} rows of {request_id}")


def feedback(running: Running, **said) -> requests.Response:
    return requests.post(f"{running.url}/v1/feedback", json=said, timeout=10)


def test_each_text_is_kept_with_its_answer_and_a_hash_in_its_place(kept):
    running, state = kept
    before = time.time()
    answer = running.classify([SECRET_TEXT, "ok"], headers={"x-request-id": "job-1"})
    rows = rows_of(state, "job-1", 2)
    for row, told, text in zip(rows, answer.json()["data"], [SECRET_TEXT, "ok"], strict=True):
        assert (row["prediction_id"], row["label"]) == (told["id"], told["label"])
        assert dict(row["probabilities"]) == pytest.approx(told["probabilities"], abs=1e-6)
        assert row["digest"] == row_digest(text)
        assert (row["text"], row["status"], row["route"], row["key"]) == (None, 200, "/v1/classify", "")
    assert sum(row["tokens_in"] for row in rows) == answer.json()["usage"]["total_tokens"]
    assert datetime.fromtimestamp(before - 1, timezone.utc) < rows[0]["time"] < datetime.now(timezone.utc)
    assert find(state / FOLDER, answer.json()["data"][1]["id"])["request_id"] == "job-1"
    for path in state.rglob("*"):
        assert path.is_dir() or b"ada@example" not in path.read_bytes()


def test_what_a_model_could_not_answer_is_kept_and_what_no_model_saw_is_not(kept):
    running, state = kept
    running.classify("x", headers={"x-request-id": "late-1", "x-request-timeout": "0.000001"})
    running.classify([1], headers={"x-request-id": "wrong-1"})
    requests.get(f"{running.url}/v1/models", headers={"x-request-id": "list-1"}, timeout=10)
    (row,) = rows_of(state, "late-1", 1)
    assert (row["status"], row["prediction_id"], row["label"], row["digest"]) == (504, "", None, None)
    assert not {"wrong-1", "list-1"} & set(
        read_requests(state / FOLDER).rows.column("request_id").to_pylist()
    )


def test_feedback_is_kept_for_one_answer(kept):
    running, state = kept
    answer = running.classify("where is it").headers["x-prediction-id"]
    taken = feedback(running, prediction_id=answer, label="order", comment="clearly")
    assert taken.status_code == 200, taken.text
    assert taken.json()["prediction_id"] == f"{answer}-0"
    assert feedback(running, prediction_id=f"{answer}-0", rating="bad").status_code == 200
    rows = [row for row in read_feedback(state / FILE).rows if row.prediction_id == f"{answer}-0"]
    assert [(row.label, row.rating, row.comment) for row in rows] == [
        ("order", None, "clearly"),
        (None, "bad", None),
    ]
    old = "pred_0188aaaaaaaa0123456789abcdef-3"
    assert feedback(running, prediction_id=old, label="anything").status_code == 200


def test_feedback_that_can_not_be_meant_is_refused(kept):
    running, _ = kept
    two = running.classify(["a", "b"]).json()["id"]
    for said, status, part in (
        ({"prediction_id": "nonsense", "rating": "good"}, 404, "no answer"),
        ({"prediction_id": "a b", "rating": "good"}, 404, "no prediction id"),
        ({"prediction_id": f"pred_{'f' * 28}-0", "rating": "good"}, 404, "no answer"),
        ({"prediction_id": f"{two}-2", "rating": "good"}, 404, "no answer"),
        ({"prediction_id": two, "rating": "good"}, 400, "means 2 texts"),
        ({"prediction_id": f"{two}-1", "label": "ordr"}, 400, "did you mean 'order'"),
        ({"prediction_id": f"{two}-1"}, 400, "a label, a rating or an answer"),
        ({"prediction_id": f"{two}-1", "comment": "hm"}, 400, "a label, a rating or an answer"),
        ({"prediction_id": f"{two}-1", "label": "x" * 501}, 400, "500"),
        ({"prediction_id": f"{two}-1", "rating": "so so"}, 400, "rating"),
    ):
        answer = feedback(running, **said)
        assert answer.status_code == status, (said, answer.text)
        assert part in answer.json()["error"]["message"]
    assert LABELS[0]


def test_feedback_on_a_full_disk_is_an_error_and_answers_go_on(kept):
    running, state = kept
    answer = running.classify("x").headers["x-prediction-id"]
    path = state / FILE
    aside = path.rename(path.with_suffix(".aside"))
    path.mkdir()
    try:
        refused = feedback(running, prediction_id=answer, rating="good")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "feedback_unwritable")
        assert running.classify("x").status_code == 200
    finally:
        path.rmdir()
        aside.rename(path)
    assert feedback(running, prediction_id=answer, rating="good").status_code == 200


def test_figures_count_the_records(kept):
    running, _ = kept
    running.classify(TEXTS)
    figures = running.figures()
    known = {name: value for name, value in figures.items() if name.startswith("tunewright_request_log")}
    assert len(known) == 5
    assert sum(value for name, value in known.items() if "written" in name or "waiting" in name) >= len(TEXTS)
    assert known["tunewright_request_log_failing"] == 0


def test_what_waits_is_written_when_the_server_ends(start, copies, tmp_path):
    root = project_with_config(tmp_path)
    words = (
        "monitoring.request_log.texts=keep",
        "serving.drain_notice_s=0",
        "monitoring.request_log.flush_s=600",
    )
    running = start(copies("openvino:fp32"), *words, cwd=root)
    running.classify(TEXTS)
    assert running.end() == 0
    rows = read_requests(root / ".tunewright" / FOLDER).rows.to_pylist()
    assert [row["text"] for row in rows] == TEXTS


def test_outside_a_project_nothing_is_kept_and_feedback_says_so(start, copies, tmp_path):
    running = start(copies("openvino:fp32"), "serving.drain_notice_s=0", cwd=tmp_path)
    answer = running.classify("x").headers["x-prediction-id"]
    refused = feedback(running, prediction_id=answer, rating="good")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "feedback_not_kept")
    assert running.end() == 0
    assert list(tmp_path.iterdir()) == []
