"""A training that was killed goes on from its last whole checkpoint and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tunewright.models.catalogue import resolve
from tunewright.training.checkpoints import SEAL
from tunewright.training.classification import train

SCRIPT = Path(__file__).with_name("killed_training.py")
START_S = 120


def kill_after_a_checkpoint(recipe, dataset, workspace, tmp_path):
    """Start a training as a process and kill it at a random moment after its first checkpoint."""
    told = tmp_path / "told.json"
    told.write_text(
        json.dumps(
            {
                "recipe": recipe.model_dump(mode="json"),
                "dataset": str(dataset.root),
                "workspace": str(workspace),
            }
        )
    )
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(told)], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + START_S
    while not list(workspace.glob(f"*/checkpoint-*/{SEAL}")):
        assert process.poll() is None, "the training ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(random.SystemRandom().uniform(0, 0.2))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not list(workspace.glob(f"*/finished/{SEAL}")), "it was killed too late to test anything"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_killed_training_ends_with_the_same_bits(method, make_dataset, tiny_recipe, tmp_path, recorder):
    dataset = make_dataset(train=330)
    recipe = tiny_recipe(
        method=method,
        epochs=6,
        batch_size=8,
        gradient_accumulation_steps=2,
        checkpoint_steps=7,
        learning_rate=2e-3,
    )
    base = resolve(recipe.model, base_dir=tmp_path)
    kill_after_a_checkpoint(recipe, dataset, tmp_path / "killed", tmp_path)
    resumed = train(dataset, base, recipe, workspace=tmp_path / "killed", recorder=recorder)
    seen = dict(recorder.points)
    recorder.points.clear()
    straight = train(dataset, base, recipe, workspace=tmp_path / "straight", recorder=recorder)
    assert resumed.figures.resumed_from_step > 0
    assert straight.figures.resumed_from_step == 0
    assert resumed.classifier.digest() == straight.classifier.digest()
    assert resumed.history == straight.history
    assert resumed.log == straight.log
    assert seen == recorder.points, "the resumed call records everything from step 1"
    counted = ("steps", "samples", "useful_tokens", "padded_tokens", "best_step")
    for name in counted:
        assert getattr(resumed.figures, name) == getattr(straight.figures, name), name


class Killed(BaseException):
    """Ends a training in the middle, past every handler."""


class Interrupting:
    """A recorder that ends the training when a step is recorded."""

    def __init__(self, step):
        self.step = step

    def metrics(self, values, step):
        if values and step >= self.step:
            raise Killed


@pytest.fixture
def interrupted(make_dataset, tiny_recipe, tmp_path):
    """A training that was ended in its third epoch; checkpoints at steps 15 and 20."""
    dataset = make_dataset()
    recipe = tiny_recipe(checkpoint_steps=5)
    base = resolve(recipe.model, base_dir=tmp_path)
    workspace = tmp_path / "work"
    with pytest.raises(Killed):
        train(dataset, base, recipe, workspace=workspace, recorder=Interrupting(25))
    (folder,) = workspace.iterdir()
    assert {item.name for item in folder.iterdir()} == {"checkpoint-15", "checkpoint-20"}
    return dataset, base, recipe, workspace, folder


def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(interrupted, tmp_path, recorder):
    dataset, base, recipe, workspace, folder = interrupted
    optimizer = folder / "checkpoint-20" / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:-100])
    resumed = train(dataset, base, recipe, workspace=workspace, recorder=recorder)
    assert resumed.figures.resumed_from_step == 15
    straight = train(dataset, base, recipe, workspace=tmp_path / "straight", recorder=recorder)
    assert resumed.classifier.digest() == straight.classifier.digest()


def test_a_half_written_checkpoint_is_never_used(interrupted, recorder):
    dataset, base, recipe, workspace, folder = interrupted
    half = folder / "checkpoint-25"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    resumed = train(dataset, base, recipe, workspace=workspace, recorder=recorder)
    assert resumed.figures.resumed_from_step == 20


def test_another_recipe_never_resumes_from_it(interrupted, recorder):
    dataset, base, recipe, workspace, _ = interrupted
    other = recipe.model_copy(update={"training": recipe.training.model_copy(update={"learning_rate": 1e-3})})
    assert train(dataset, base, other, workspace=workspace, recorder=recorder).figures.resumed_from_step == 0


def test_a_finished_training_is_not_repeated(make_dataset, tiny_recipe, tmp_path, recorder):
    dataset, recipe = make_dataset(), tiny_recipe()
    base = resolve(recipe.model, base_dir=tmp_path)
    first = train(dataset, base, recipe, workspace=tmp_path / "work", recorder=recorder)
    recorded = dict(recorder.points)
    recorder.points.clear()
    began = time.process_time()
    again = train(dataset, base, recipe, workspace=tmp_path / "work", recorder=recorder)
    assert time.process_time() - began < 5
    assert again.classifier.digest() == first.classifier.digest()
    assert recorder.points == recorded
    assert again.figures.steps == first.figures.steps
