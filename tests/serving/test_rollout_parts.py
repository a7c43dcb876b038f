"""Parts of a rollout that need no server: memory, what is watched, what an administrator is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunewright.config.schema import Recipe
from tunewright.serving.opening import watchable
from tunewright.serving.rollout import memory
from tunewright.support.paths import ProjectPaths

MIB = 1 << 20


@pytest.fixture
def copy(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"x" * 3 * MIB)
    return tmp_path


def test_a_second_worker_is_not_started_where_memory_is_plainly_short(copy, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 2 * MIB)
    assert memory.shortage(copy, 0) == "2 MiB of memory are free, it needs 3 MiB"
    assert "needs 500 MiB" in memory.shortage(copy, 500 * MIB)
    monkeypatch.setattr(memory, "free_bytes", lambda: 900 * MIB)
    assert not memory.shortage(copy, 500 * MIB)


def test_a_container_may_have_less_memory_than_its_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    machine = memory.free_bytes()
    (tmp_path / "memory.max").write_text(f"{100 * MIB}\n")
    (tmp_path / "memory.current").write_text(f"{70 * MIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {10 * MIB}\nfile 2\n")
    assert memory.free_bytes() == min(machine, 40 * MIB)
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes() > 40 * MIB


@pytest.mark.parametrize(
    ("reference", "is_watched"),
    [("spam@champion", True), ("spam", True), ("", True), ("spam/3", False), ("3", False)],
)
def test_what_can_come_to_mean_another_version_is_watched(reference, is_watched, tmp_path):
    recipe = Recipe.model_validate({"project": "spam"})
    found = watchable(reference, recipe, ProjectPaths(tmp_path))
    assert (found is not None) == is_watched
    assert watchable(reference, recipe, None) is None


def test_a_copys_folder_is_not_watched(tmp_path):
    recipe = Recipe.model_validate({"project": "spam"})
    (tmp_path / "engine.json").write_text("{}")
    assert watchable(str(tmp_path), recipe, ProjectPaths(Path(tmp_path))) is None
