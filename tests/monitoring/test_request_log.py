"""The request log: whole files, nothing lost but what a kill must lose, and no answer ever in its way."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.monitoring.reading import find, read_requests
from tunewright.monitoring.records import LogSettings, RequestRecord, is_sampled
from tunewright.monitoring.request_log import PATTERN, RequestLog
from tunewright.registry.lineage import row_digest
from tunewright.support.errors import InputError

NOON = 1_793_707_200.0
"""3 November 2026, 12:00 UTC."""


def record(number: int = 0, **given) -> RequestRecord:
    plain = {
        "time": NOON + number,
        "prediction_id": f"p-{number}",
        "request_id": f"r-{number}",
        "route": "/v1/classify",
        "model": "spam",
        "version": 3,
        "key": "ci",
        "status": 200,
        "latency_s": 0.004,
        "text": f"text {number}",
        "tokens_in": 7,
        "label": "ham",
        "confidence": 0.75,
        "probabilities": {"ham": 0.75, "spam": 0.25},
    }
    return RequestRecord(**{**plain, **given})


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOON + seconds, timezone.utc)


def wait_for(condition, seconds: float = 20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def written(folder, records, **given):
    log = RequestLog(folder, LogSettings(**{"texts": "keep", "flush_s": 30, **given}))
    for each in records:
        log.append(each)
    return log.close()


def test_what_was_logged_is_read_back(tmp_path):
    counts = written(
        tmp_path, [record(1), record(2, route="/v1/chat/completions", answer="Hello", label=None)]
    )
    assert (counts.written, counts.waiting, counts.dropped) == (2, 0, 0)
    read = read_requests(tmp_path)
    first, second = read.rows.to_pylist(maps_as_pydicts="strict")
    assert read.unreadable == {}
    assert first["time"] == at(1)
    assert first["probabilities"] == {"ham": 0.75, "spam": 0.25}
    assert first["digest"] == row_digest("text 1")
    assert (second["answer"], second["label"], second["version"]) == ("Hello", None, 3)
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


def test_a_range_of_time_begins_and_ends_where_it_says(tmp_path):
    written(tmp_path, [record(number) for number in (5, 1, 3)])
    ids = read_requests(tmp_path, since=at(1), until=at(5), columns=["prediction_id"]).rows.to_pydict()
    assert ids == {"prediction_id": ["p-1", "p-3"]}
    assert read_requests(tmp_path / "nowhere").rows.num_rows == 0


def test_a_prediction_is_found_by_its_id(tmp_path):
    written(tmp_path, [record(number) for number in range(50)], rows_per_file=20)
    assert len(list(tmp_path.glob(PATTERN))) == 3
    assert find(tmp_path, "p-7")["version"] == 3
    with pytest.raises(InputError, match="p-50: is not in the request log"):
        find(tmp_path, "p-50")


def test_a_damaged_file_is_named_and_the_others_are_read(tmp_path):
    written(tmp_path, [record(number) for number in range(40)], rows_per_file=20)
    torn, foreign = sorted(tmp_path.glob(PATTERN))[0], tmp_path / "requests-x.parquet"
    torn.write_bytes(torn.read_bytes()[:-20])
    pq.write_table(read_requests(tmp_path).rows.select(["prediction_id", "time"]), foreign)
    read = read_requests(tmp_path)
    assert read.rows.num_rows == 20
    assert set(read.unreadable) == {torn, foreign}
    with pytest.raises(InputError, match="2 files of which can't be read"):
        find(tmp_path, "nothing")


@pytest.mark.parametrize(
    ("texts", "text", "digest"),
    [
        ("keep", "mail ada@example.org now", row_digest("mail ada@example.org now")),
        ("redact", "mail <email> now", row_digest("mail <email> now")),
        ("hash", None, row_digest("mail ada@example.org now")),
        ("drop", None, None),
    ],
)
def test_texts_are_kept_as_the_settings_say(tmp_path, texts, text, digest):
    asked = "mail ada@example.org now"
    written(tmp_path, [record(text=asked, answer=asked)], texts=texts)
    row = find(tmp_path, "p-0")
    assert (row["text"], row["answer"], row["digest"]) == (text, text, digest)
    if texts != "keep":
        assert all(b"ada@" not in path.read_bytes() for path in tmp_path.iterdir())


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_all_that_a_smaller_one_does(name, one, other):
    small, large = sorted((one, other))
    assert is_sampled(name, large) or not is_sampled(name, small)
    assert is_sampled(name, 1)
    assert not is_sampled(name, 0)


def test_the_share_is_what_was_asked_for(tmp_path):
    kept = sum(is_sampled(f"p-{number}", 0.3) for number in range(10_000))
    assert abs(kept - 3000) < 200
    counts = written(tmp_path, [record(number) for number in range(1000)], share=0.3)
    assert counts.written + counts.left_out == 1000
    assert counts.written == read_requests(tmp_path).rows.num_rows


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.text(), st.text(max_size=5)), min_size=1, max_size=5))
def test_any_text_comes_back(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("log")
    counts = written(
        folder, [record(at, text=text, label=label) for at, (text, label) in enumerate(texts)], texts="redact"
    )
    assert counts.dropped == 0
    assert read_requests(folder).rows.num_rows == len(texts)


def test_a_record_that_no_column_holds_is_dropped_alone(tmp_path, caplog):
    odd = [
        record(1, version="three"),
        record(2, time=float("nan")),
        record(3, text=7),
        record(4, text="\ud800"),
    ]
    counts = written(tmp_path, [record(0), *odd, record(5)])
    assert (counts.written, counts.dropped) == (3, 3)
    assert read_requests(tmp_path).rows["prediction_id"].to_pylist() == ["p-0", "p-4", "p-5"]


def test_a_reader_beside_the_writer_sees_every_flushed_row(tmp_path):
    log = RequestLog(tmp_path, LogSettings(flush_s=0.05, rows_per_file=1000))
    for number in range(300):
        log.append(record(number))
        if number % 100 == 99:
            wait_for(lambda: log.counts().waiting == 0)
            assert read_requests(tmp_path).rows.num_rows == number + 1
    assert len(list(tmp_path.glob(PATTERN))) == 1
    assert log.close().written == 300


def test_files_are_closed_by_age_and_removed_after_their_days(tmp_path):
    log = RequestLog(tmp_path, LogSettings(flush_s=0.02, file_s=0.01, keep_days=1))
    old = tmp_path / "requests-20200101T000000Z-1-x.parquet"
    old.write_bytes(b"")
    leftover = tmp_path / ".requests-20200101T000000Z-1-x.parquet.abc"
    leftover.write_bytes(b"")
    for path in (old, leftover):
        os.utime(path, (1, 1))
    for number in range(2):
        log.append(record(number))
        wait_for(lambda: log.counts().waiting == 0)
        time.sleep(0.05)
    log.close()
    assert not old.exists()
    assert not leftover.exists()
    assert len(list(tmp_path.glob(PATTERN))) == 2


def test_an_unwritable_folder_is_told_once_and_rows_wait_for_better_times(tmp_path, caplog):
    folder = tmp_path / "log"
    folder.write_text("a file stands where the folder should be")
    log = RequestLog(folder, LogSettings(flush_s=0.02, waiting_rows=50, rows_per_file=10))
    with caplog.at_level(logging.WARNING):
        for number in range(40):
            log.append(record(number))
        wait_for(lambda: log.counts().is_failing)
        time.sleep(0.2)
        for number in range(40, 100):
            log.append(record(number))
        assert (log.counts().waiting, log.counts().dropped) == (60, 40), (
            "the file in hand and the queue are full"
        )
        assert sum("can't be written" in line for line in caplog.messages) == 1
        folder.unlink()
        wait_for(lambda: not log.counts().is_failing)
        counts = log.close()
    assert counts.written + counts.dropped == 100
    assert counts.written == read_requests(folder).rows.num_rows
    assert sum("is written again" in line for line in caplog.messages) == 1


def test_closing_while_nothing_can_be_written_ends_and_counts(tmp_path):
    (tmp_path / "log").write_text("x")
    begun = time.monotonic()
    counts = written(tmp_path / "log", [record(number) for number in range(5)])
    assert time.monotonic() - begun < 5
    assert (counts.written, counts.waiting, counts.dropped) == (0, 0, 5)


def test_appending_takes_microseconds_even_while_the_disk_fails(tmp_path):
    (tmp_path / "log").write_text("x")
    log = RequestLog(tmp_path / "log", LogSettings(flush_s=0.01, waiting_rows=1000))
    one = record()
    begun = time.process_time()
    for _ in range(20_000):
        log.append(one)
    assert time.process_time() - begun < 2.0
    assert log.close().dropped == 20_000


WRITER = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_request_log import record
from tunewright.monitoring.records import LogSettings
from tunewright.monitoring.request_log import RequestLog
{before}
log = RequestLog(Path({folder!r}), LogSettings(**{settings!r}))
"""


def child(folder, body, *, before="", **given):
    code = (
        WRITER.format(tests=str(Path(__file__).parent), folder=str(folder), settings=given, before=before)
        + body
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_kill_loses_no_row_that_was_flushed(tmp_path):
    body = """
for number in range(10**9):
    log.append(record(number))
    if number % 200 == 0:
        while log.counts().waiting: time.sleep(0.001)
        print(number, flush=True)
"""
    process = child(tmp_path, body, flush_s=0.01, rows_per_file=700)
    told = [int(process.stdout.readline()) for _ in range(12)]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    read = read_requests(tmp_path)
    ids = read.rows["prediction_id"].to_pylist()
    assert read.unreadable == {}
    assert len(ids) == len(set(ids))
    assert {f"p-{number}" for number in range(told[-1] + 1)} <= set(ids)


def test_a_full_disk_costs_no_row_while_memory_lasts(small_disk, fill_up, caplog):
    ballast = small_disk / "ballast"
    log = RequestLog(
        small_disk / "log", LogSettings(texts="keep", flush_s=0.05, waiting_rows=500, rows_per_file=100)
    )
    with caplog.at_level(logging.WARNING):
        for number in range(50):
            log.append(record(number))
        wait_for(lambda: log.counts().written == 50)
        fill_up(ballast)
        for number in range(50, 300):
            log.append(record(number))
        wait_for(lambda: log.counts().is_failing)
        time.sleep(0.3)  # several tries
        assert log.counts().written == 50
        assert read_requests(small_disk / "log").rows.num_rows == 50, "what was written stays readable"
        ballast.unlink()
        wait_for(lambda: log.counts().waiting == 0)
    counts = log.close()
    assert (counts.written, counts.dropped) == (300, 0)
    read = read_requests(small_disk / "log")
    assert read.unreadable == {}
    assert read.rows["prediction_id"].to_pylist() == [f"p-{number}" for number in range(300)]
    assert sum("No space left" in line for line in caplog.messages) == 1


def test_a_full_disk_and_full_memory_drop_and_count(small_disk, fill_up):
    (small_disk / "ballast").write_bytes(bytes(480 * 1024))
    log = RequestLog(
        small_disk / "log", LogSettings(texts="keep", flush_s=0.02, waiting_rows=200, rows_per_file=5000)
    )
    for number in range(6000):
        log.append(record(number, text=os.urandom(100).hex()))
        if number % 50 == 0:
            time.sleep(0.005)
    wait_for(lambda: log.counts().is_failing)
    counts = log.close()
    assert counts.waiting == 0
    assert counts.written + counts.dropped == 6000
    assert counts.dropped > 0
    assert read_requests(small_disk / "log").rows.num_rows == counts.written


def test_a_limit_on_file_size_is_survived_too(tmp_path):
    """The same fault without root: the kernel refuses bytes beyond RLIMIT_FSIZE."""
    body = """
for number in range(500):
    log.append(record(number, text=os.urandom(200).hex()))
while not log.counts().is_failing: time.sleep(0.001)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
counts = log.close()
import json
print(json.dumps([counts.written, counts.dropped]))
"""
    before = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
"""
    process = child(tmp_path, body, before=before, texts="keep", flush_s=0.05, rows_per_file=1000)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out) == [500, 0]
    assert err.count("can't be written") == 1
    assert read_requests(tmp_path).rows.num_rows == 500


@pytest.mark.parametrize(
    "wrong",
    [
        {"texts": "all"},
        {"share": 2},
        {"flush_s": 0},
        {"rows_per_file": 0},
        {"waiting_rows": 0},
        {"keep_days": 0},
    ],
)
def test_settings_that_can_not_work_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        LogSettings(**wrong)
