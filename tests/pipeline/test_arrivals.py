"""Files that arrive: whole ones are announced once, half-written and hidden ones never, bad ones are put aside."""

from __future__ import annotations

import os
import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewright.pipeline.arrivals import look, set_aside

LATER = 60.0


def looked(folder, before, *, after=LATER):
    return look(folder, before, now=time.time() + after)


def test_no_folder_and_an_empty_one_are_fine(tmp_path):
    assert look(tmp_path / "none", {}) == ([], {})
    assert look(tmp_path, {}) == ([], {})


def test_a_file_is_announced_once_it_stays_the_same_and_again_when_its_content_changes(tmp_path):
    file = tmp_path / "new.csv"
    file.write_text("text\none\n")
    first, seen = looked(tmp_path, {})
    assert first == []
    second, seen = looked(tmp_path, seen)
    assert [each.path.name for each in second] == ["new.csv"]
    third, seen = looked(tmp_path, seen)
    assert third == []
    os.utime(file, (1, 1))
    touched, seen = looked(tmp_path, seen)
    assert touched == []
    again, seen = looked(tmp_path, seen)
    assert [each.key for each in again] == [second[0].key] or again == []
    file.write_text("text\ntwo\n")
    _, seen = looked(tmp_path, seen)
    changed, seen = looked(tmp_path, seen)
    assert len(changed) == 1
    assert changed[0].key != second[0].key


def test_a_file_that_is_still_written_to_is_left_alone(tmp_path):
    file = tmp_path / "slow.csv"
    seen = {}
    for part in range(4):
        with file.open("a") as stream:
            stream.write(f"row {part}\n" * 100)
        arrivals, seen = looked(tmp_path, seen)
        assert arrivals == []
    arrivals, seen = looked(tmp_path, seen)
    assert len(arrivals) == 1
    file.write_text("fresh")
    _, seen = looked(tmp_path, {}, after=0)
    assert looked(tmp_path, seen, after=0)[0] == [], "changed less than two seconds ago"


def test_unfinished_hidden_and_empty_files_are_left_alone(tmp_path):
    for name in (".hidden", "a.csv.part", "b.tmp", "c.crdownload", "d.csv~", "~lock.xlsx", "e.csv.overrides"):
        (tmp_path / name).write_text("x")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "folder").mkdir()
    _, seen = looked(tmp_path, {})
    assert looked(tmp_path, seen)[0] == []


def test_settings_beside_a_file_hold_for_it_alone(tmp_path):
    (tmp_path / "a.csv").write_text("body\nx\n")
    (tmp_path / "b.csv").write_text("text\nx\n")
    (tmp_path / "a.csv.overrides").write_text("# how it is read\ndata.text_column=body\n\n")
    _, seen = looked(tmp_path, {})
    arrivals, _ = looked(tmp_path, seen)
    assert {each.path.name: each.overrides for each in arrivals} == {
        "a.csv": ("data.text_column=body",),
        "b.csv": (),
    }


def test_what_is_put_aside_keeps_its_content_and_its_reason(tmp_path):
    for round_ in range(2):
        file = tmp_path / "bad.csv"
        file.write_text(f"content {round_}")
        target = set_aside(file, tmp_path / "refused", "it can't be read")
        assert not file.exists()
        assert target.read_text() == f"content {round_}"
        assert "can't be read" in target.with_name(target.name + ".reason.json").read_text()
    assert len(list((tmp_path / "refused").glob("*.csv"))) == 2


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=12))
def test_every_content_of_a_file_that_stays_is_announced_just_once(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("incoming")
    seen, announced, settled = {}, [], {}
    for name, content in steps:
        path = folder / f"{name}.csv"
        text = f"row {content}\n" * (content + 1)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        for _ in range(2):
            arrivals, seen = looked(folder, seen)
            announced += [(each.path.name, each.digest) for each in arrivals]
        if settled.get(name) != content:
            settled[name] = content
    changes = sum(1 for at, (name, content) in enumerate(steps) if dict(steps[:at]).get(name) != content)
    assert len(announced) == changes
