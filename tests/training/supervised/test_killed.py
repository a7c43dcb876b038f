"""Fine-tuning with LoRA that is killed again and again ends with the weights of an uninterrupted one."""

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

from tunewright.training.checkpoints import SEAL
from tunewright.training.language.sft import ChatData, train

SCRIPT = Path(__file__).with_name("killed_sft.py")
KILLS = int(os.environ.get("TUNEWRIGHT_KILLS", "1")) * 2
"""CI's size; TUNEWRIGHT_KILLS=3 kills six times."""
START_S = 180


def newest(workspace: Path) -> int:
    """The last sealed step."""
    found = [int(seal.parent.name.partition("-")[2]) for seal in workspace.glob(f"*/checkpoint-*/{SEAL}")]
    return max(found, default=0)


def kill_at_a_later_step(told: Path, workspace: Path) -> int:
    """Start the training and kill it at a random moment after its next checkpoint; return the step it reached."""
    before = newest(workspace)
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(told)], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + START_S
    while newest(workspace) <= before:
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(random.SystemRandom().uniform(0, 0.1))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return newest(workspace)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_again_and_again_the_weights_are_those_of_a_straight_run(
    rows, make_recipe, open_base, template, tmp_path, recorder
):
    recipe = make_recipe(
        "tinystories-656k-fixed-tokenizer",
        method="lora",
        epochs=30,
        batch_size=4,
        gradient_accumulation_steps=2,
        checkpoint_steps=3,
        schedule="cosine",
    )
    told = tmp_path / "told.json"
    facts = {"recipe": recipe.model_dump(mode="json"), "rows": [row.model_dump(mode="json") for row in rows]}
    told.write_text(json.dumps({**facts, "workspace": str(tmp_path / "killed"), "template": str(template)}))
    steps = [kill_at_a_later_step(told, tmp_path / "killed") for _ in range(KILLS)]
    assert steps == sorted(set(steps))

    data = ChatData(train=rows[:-8], validation=rows[-8:], digest="rows")
    given = {"recorder": recorder, "template": template}
    resumed = train(data, open_base(recipe), recipe, workspace=tmp_path / "killed", **given)
    assert resumed.figures.resumed_from_step == steps[-1]
    straight = train(data, open_base(recipe), recipe, workspace=tmp_path / "straight", **given)
    assert resumed.model.digest() == straight.model.digest()
    assert resumed.log == straight.log, "loss and learning rate of every step: the schedule didn't begin anew"
    assert resumed.history == straight.history
