"""A project that was moved or copied goes on as if nothing had happened."""

from __future__ import annotations

import json
import shutil

from projects import tunewright


def test_a_moved_project_predicts_and_has_nothing_to_do(ran, tmp_path):
    copy, moved = tmp_path / "copy of it", tmp_path / "other" / "ünser shop"
    shutil.copytree(ran.folder, copy, symlinks=True)
    moved.parent.mkdir()
    copy.rename(moved)
    said = tunewright(moved, "run", "--json")
    assert said.returncode == 0, said.stderr
    assert "has moved" in said.stderr
    facts = json.loads(said.stdout.splitlines()[-1])
    assert set(facts["steps"].values()) == {"skipped"}, said.stderr
    again = tunewright(moved, "predict", "where is my parcel", "--model", "shop/2")
    assert again.returncode == 0, again.stderr
    assert "has moved" not in again.stderr


def test_a_copy_reads_its_own_models_and_leaves_those_of_the_first(ran, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(ran.folder, copy, symlinks=True)
    first = tunewright(copy, "predict", "where is my parcel", "--model", "shop/2")
    assert first.returncode == 0, first.stderr
    weights = list((copy / ".tunewright" / "artifacts").rglob("*.safetensors"))
    assert weights
    for path in weights:
        path.write_bytes(b"damaged")
    assert tunewright(copy, "predict", "where is my parcel", "--model", "shop/2").returncode == 2
    assert tunewright(ran.folder, "predict", "where is my parcel", "--model", "shop/2").returncode == 0
