"""Processes are started, watched and ended together; a training that lost one goes on from its checkpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch

from tunewright.support.errors import InputError, TunewrightError
from tunewright.training.checkpoints import SEAL
from tunewright.training.language.sft import train
from tunewright.training.launch.job import Job
from tunewright.training.launch.launching import WORKER, launch, require_devices
from tunewright.training.launch.messages import Failure

PATIENCE_S = 240
SECONDS_TO_END = 20.0
"""A loaded machine included; all that has to happen takes a fraction of one."""


def job_of(story_data, story_base, recipe, workspace) -> Job:
    return Job(recipe, story_base, story_data.train, story_data.validation, story_data.digest, workspace)


def workers(of: int | None = None) -> dict[int, psutil.Process]:
    """Return the worker processes below a process, this one by default, by rank."""
    found = {}
    for child in psutil.Process(of).children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            if WORKER in child.cmdline():
                found[int(child.environ()["RANK"])] = child
    return found


def wait_for(condition, *, what: str):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


class Meanwhile(threading.Thread):
    """Does something to a launch from outside, once a condition holds; ``at`` tells when."""

    def __init__(self, condition, action) -> None:
        super().__init__(daemon=True)
        self.condition, self.action, self.at = condition, action, 0.0
        self.start()

    def run(self) -> None:
        found = wait_for(self.condition, what="the moment never came")
        self.at = time.monotonic()
        self.action(found)


def test_the_workers_read_what_was_told(story_data, story_base, story_recipe, tmp_path):
    job = job_of(story_data, story_base, story_recipe(devices=2), tmp_path)
    (tmp_path / "told").mkdir()
    assert Job.read(job.write(tmp_path / "told")) == job


def test_more_gpus_than_there_are_is_a_mistake_in_the_recipe(story_recipe, monkeypatch):
    require_devices(story_recipe(devices=2))
    if torch.cuda.is_available():
        many = torch.cuda.device_count() + 1
        with pytest.raises(InputError, match=r"^training\.devices: asks for"):
            require_devices(story_recipe(devices=many, device="cuda"))
    else:
        with pytest.raises(InputError, match=r"^training\.device: "):
            require_devices(story_recipe(devices=2, device="cuda"))


def test_a_classifier_refuses_several_processes(make_dataset, tiny_recipe, tmp_path, recorder):
    from tunewright.models.catalogue import resolve
    from tunewright.training.classification import train as train_classifier

    recipe = tiny_recipe(devices=2)
    with pytest.raises(InputError, match=r"training\.devices"):
        train_classifier(
            make_dataset(), resolve(recipe.model, base_dir=tmp_path), recipe,
            workspace=tmp_path, recorder=recorder,
        )  # fmt: skip


@pytest.mark.parametrize(
    "error", [InputError("is empty", place="row 3", mend="fill it"), ValueError("many\nlines"), KeyError()]
)
def test_what_went_wrong_in_a_worker_arrives(error, tmp_path):
    Failure.of(error, 1).write(tmp_path)
    read = Failure.read(tmp_path, 1)
    assert read is not None
    assert read.is_foreseen == isinstance(error, TunewrightError)
    assert read.fact.startswith(error.fact if isinstance(error, TunewrightError) else type(error).__name__)


def test_a_process_that_only_lost_another_is_not_blamed(tmp_path):
    lost = InputError("can't be loaded (gloo: Connection reset by peer)", place="model", mend="save it again")
    Failure.of(lost, 0).write(tmp_path)
    Failure.of(TunewrightError("no space left", place="disk", mend="free some"), 1).write(tmp_path)
    assert Failure.read(tmp_path, 0).is_lost_peer
    assert not Failure.read(tmp_path, 1).is_lost_peer


@pytest.mark.slow
def test_fewer_processes_than_asked_for_is_an_error(story_data, story_base, story_recipe, tmp_path):
    job = job_of(story_data, story_base, story_recipe(devices=2), tmp_path)
    with pytest.raises(TunewrightError, match=r"1 process was started, but training\.devices asks for 2"):
        launch(job, 1, tmp_path / "launch")


@pytest.mark.slow
def test_an_interrupt_ends_every_process(story_data, story_base, story_recipe, tmp_path):
    job = job_of(story_data, story_base, story_recipe(devices=2), tmp_path)
    signal.signal(signal.SIGINT, before := signal.default_int_handler)  # in the background, tests ignore it
    hand = Meanwhile(lambda: len(workers()) == 2, lambda _: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        launch(job, 2, tmp_path / "launch")
    assert time.monotonic() - hand.at < SECONDS_TO_END
    assert workers() == {}
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_processes_end_when_the_one_that_started_them_is_killed(
    story_data, story_base, story_recipe, tmp_path
):
    job = job_of(story_data, story_base, story_recipe(devices=2, epochs=5000), tmp_path)
    (tmp_path / "told").mkdir()
    words = (
        "import sys; from pathlib import Path; from tunewright.training.launch.job import Job;"
        " from tunewright.training.launch.launching import launch;"
        " launch(Job.read(Path(sys.argv[1])), 2, Path(sys.argv[2]))"
    )
    spec = str(job.write(tmp_path / "told"))
    launcher = subprocess.Popen([sys.executable, "-c", words, spec, str(tmp_path / "launch")])
    try:

        def under_way():
            found = workers(launcher.pid)
            maps = [Path(f"/proc/{each.pid}/maps") for each in found.values()]
            return found if len(found) == 2 and all("libtorch" in path.read_text() for path in maps) else None

        running = wait_for(under_way, what="the workers never started")
    finally:
        launcher.kill()
    assert launcher.wait() == -signal.SIGKILL
    gone, alive = psutil.wait_procs(list(running.values()), timeout=SECONDS_TO_END)
    assert len(gone) == 2, alive


@pytest.mark.slow
def test_a_training_that_lost_a_process_goes_on_from_its_checkpoint(
    story_data, story_base, story_recipe, tmp_path, recorder
):
    """The whole way: killed, one clear error, resumed, ended early when asked, and the same as with one process."""
    settings = {"epochs": 4, "checkpoint_steps": 5}
    recipe = story_recipe(devices=2, **settings)
    workspace = tmp_path / "work"

    def kill_the_second(_):
        workers()[1].send_signal(signal.SIGKILL)

    hand = Meanwhile(lambda: list(workspace.glob(f"*/checkpoint-*/{SEAL}")), kill_the_second)
    with pytest.raises(TunewrightError, match="process 2 of 2 was killed by SIGKILL") as raised:
        train(story_data, story_base, recipe, workspace=workspace, recorder=recorder)
    assert time.monotonic() - hand.at < SECONDS_TO_END
    assert "goes on from the last checkpoint" in raised.value.mend
    assert workers() == {}

    asked = []

    def gives_up(epochs):
        asked.append(len(epochs))
        return len(epochs) == 3

    recorder.points.clear()
    two = train(story_data, story_base, recipe, workspace=workspace, recorder=recorder, gives_up=gives_up)
    seen = dict(recorder.points)
    assert two.figures.resumed_from_step > 0
    assert asked[-1] == 3
    one = train(
        story_data, story_base, story_recipe(gradient_accumulation_steps=2, **settings),
        workspace=tmp_path / "alone", recorder=recorder, gives_up=lambda epochs: len(epochs) == 3,
    )  # fmt: skip
    assert two.figures.stopped_early
    assert one.figures.stopped_early
    assert seen == pytest.approx(recorder.points, rel=1e-4)
    others = one.model.model.state_dict()
    for name, tensor in two.model.model.state_dict().items():
        assert torch.allclose(tensor, others[name], atol=1e-4), name
    assert not list(workspace.glob("*/processes")), "what the processes told each other is gone"
    assert json.dumps([dict(each) for each in two.history])
