"""What runs out while training is said in one line, with what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tunewright.models.catalogue import resolve
from tunewright.support.errors import TunewrightError
from tunewright.training.classification import train
from tunewright.training.faults import explained
from tunewright.training.preparation import prepare


@pytest.fixture
def prepared(make_dataset, tiny_recipe, tmp_path):
    recipe = tiny_recipe()
    return prepare(make_dataset(), resolve(recipe.model, base_dir=tmp_path), recipe)


def line_of(prepared, folder, fault):
    with pytest.raises(TunewrightError) as caught, explained(prepared, folder, step=lambda: 1):
        fault()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_memory_names_the_batch_and_the_settings_that_help(prepared, tmp_path):
    import torch

    line = line_of(prepared, tmp_path, lambda: torch.empty(1 << 50))
    width = max(prepared.train.lengths)
    assert f"out of memory on cpu at step 1, with a batch of 16 rows of {width} tokens" in line
    assert "halve training.batch_size and double training.gradient_accumulation_steps" in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_named(prepared, tmp_path):
    def write():
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"weights")

    assert "no space left for a checkpoint" in line_of(prepared, tmp_path, write)


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(make_dataset, tiny_recipe, tmp_path, recorder):
    recipe = tiny_recipe()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(TunewrightError, match="can't be written"):
        train(
            make_dataset(),
            resolve(recipe.model, base_dir=tmp_path),
            recipe,
            workspace=closed,
            recorder=recorder,
        )


def test_a_fault_of_the_program_is_not_dressed_up(prepared, tmp_path):
    with pytest.raises(RuntimeError, match="shapes"), explained(prepared, tmp_path, step=lambda: 1):
        raise RuntimeError("shapes differ")
