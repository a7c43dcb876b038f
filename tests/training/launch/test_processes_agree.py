"""Two processes learn what one learns from the same rows, however they share the model."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tunewright.training.language.sft import train
from tunewright.training.launch.job import Job

SCRIPT = Path(__file__).with_name("together.py")
SAME = 1e-4


def run_together(jobs: dict[str, Job], folder: Path) -> None:
    """Run trainings with two processes; each leaves its result in its workspace."""
    specs = []
    for name, job in jobs.items():
        (folder / name).mkdir()
        specs.append(str(job.write(folder / name)))
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), *specs],
            env=os.environ | {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511", "GLOO_SOCKET_IFNAME": "lo",
            },
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        assert [process.wait(timeout=400) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()


def check(strategies, story_data, story_base, story_recipe, recorder, tmp_path):
    """Compare figures and final weights of each strategy and method with one process's."""
    asked = {
        f"{strategy}-{method}": story_recipe(devices=2, strategy=strategy, method=method)
        for strategy in strategies
        for method in ("full", "lora")
    }
    workspace = tmp_path / "work"
    jobs = {
        name: Job(recipe, story_base, story_data.train, story_data.validation, story_data.digest, workspace)
        for name, recipe in asked.items()
    }
    # DeepSpeed's ZeRO-3 stays in force in a process that had it once, so each such training gets its own processes.
    apart = [name for name in jobs if name.startswith("zero3")]
    for names in ([name for name in jobs if name not in apart], *([name] for name in apart)):
        (tmp_path / names[0]).mkdir()
        run_together({name: jobs[name] for name in names}, tmp_path / names[0])
    expected = {}
    for method in ("full", "lora"):
        recorder.points.clear()
        one = train(
            story_data, story_base, story_recipe(gradient_accumulation_steps=2, method=method),
            workspace=workspace, recorder=recorder,
        )  # fmt: skip
        expected[method] = (one, dict(recorder.points))
    for name, recipe in asked.items():
        one, points = expected[recipe.training.method]
        recorder.points.clear()
        # The result lies in the workspace: nothing is started here.
        two = train(story_data, story_base, recipe, workspace=workspace, recorder=recorder)
        assert recorder.points.keys() == points.keys(), name
        for point, value in points.items():
            assert recorder.points[point] == pytest.approx(value, rel=SAME, abs=SAME), (name, point)
        weights, others = one.model.model.state_dict(), two.model.model.state_dict()
        assert weights.keys() == others.keys()
        for weight, tensor in weights.items():
            assert torch.allclose(tensor, others[weight], atol=SAME), (name, weight)
        for figure in ("steps", "samples", "useful_tokens", "best_step"):
            assert getattr(two.figures, figure) == getattr(one.figures, figure), (name, figure)


@pytest.mark.slow
def test_ddp_and_fsdp2_learn_what_one_process_learns(
    story_data, story_base, story_recipe, recorder, tmp_path
):
    check(("ddp", "fsdp2"), story_data, story_base, story_recipe, recorder, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed isn't installed (pip install deepspeed)"
)
def test_zero_learns_what_one_process_learns(story_data, story_base, story_recipe, recorder, tmp_path):
    check(("zero1", "zero2", "zero3"), story_data, story_base, story_recipe, recorder, tmp_path)
