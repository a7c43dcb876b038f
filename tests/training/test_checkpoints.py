"""A checkpoint counts only when it is whole; a damaged one is passed over or named."""

from __future__ import annotations

import pytest

from tunewright.support.errors import TunewrightError
from tunewright.training.checkpoints import SEAL, discard_unsealed, newest_whole, rotate, seal


def write(workspace, step, *, sealed=True, name=None):
    folder = workspace / (name or f"checkpoint-{step}")
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights of step %d" % step)
    (folder / "training_args.bin").write_bytes(b"a pickle")
    if sealed:
        seal(folder, step=step, record={"journal": {"step": step}})
    return folder


def test_the_newest_sealed_checkpoint_is_taken_by_number_not_by_name(tmp_path):
    for step in (5, 40, 100):
        write(tmp_path, step)
    write(tmp_path, 120, sealed=False)
    found = newest_whole(tmp_path)
    assert (found.step, found.record) == (100, {"journal": {"step": 100}})
    assert not (found.folder / "training_args.bin").exists(), "no pickle is kept"


def test_a_finished_training_is_newer_than_any_step(tmp_path):
    write(tmp_path, 90)
    write(tmp_path, 80, name="finished")
    assert newest_whole(tmp_path).step == 80


def test_nothing_sealed_means_start_afresh(tmp_path):
    assert newest_whole(tmp_path / "absent") is None
    write(tmp_path, 5, sealed=False)
    assert newest_whole(tmp_path) is None
    discard_unsealed(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "seal"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, damage, capsys):
    write(tmp_path, 5)
    weights = write(tmp_path, 10) / "model.safetensors"
    content = weights.read_bytes()
    if damage == "flip":
        weights.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif damage == "truncate":
        weights.write_bytes(content[:-1])
    elif damage == "remove":
        weights.unlink()
    else:
        (weights.parent / SEAL).write_text("{", encoding="utf-8")
    assert newest_whole(tmp_path).step == 5
    assert "checkpoint-10 is damaged" in capsys.readouterr().err


def test_when_none_is_sound_one_line_says_where_and_what_to_do(tmp_path):
    for step in (5, 10):
        (write(tmp_path, step) / "model.safetensors").write_bytes(b"")
    with pytest.raises(TunewrightError) as caught:
        newest_whole(tmp_path)
    line = str(caught.value)
    assert "checkpoint-10" in line
    assert "checkpoint-5" in line
    assert str(tmp_path) in line
    assert "remove this folder" in line
    assert "\n" not in line


def test_rotation_keeps_the_newest(tmp_path):
    for step in (5, 10, 15, 100):
        write(tmp_path, step)
    rotate(tmp_path, keep=2)
    assert {folder.name for folder in tmp_path.iterdir()} == {"checkpoint-15", "checkpoint-100"}
