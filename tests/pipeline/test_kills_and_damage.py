"""Real faults while a project lives: one clear line, nothing lost, and the mend that the line names works."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from projects import made, tunewright
from sessions import Answer, call, done, only_complaint

from tunewright.support.files import writing

pytestmark = pytest.mark.slow

MIB = 1 << 20
ROOM_MIB = 24
LONG = ("training.epochs=16", "training.checkpoint_steps=3")
"""Enough steps to be stopped three times."""
WAIT_S = 240


def pointer(project: Path) -> dict:
    return json.loads((project / "models" / "candidate.json").read_text())


def only_train(project: Path, *overrides: str) -> Answer:
    return call(project, "run", "--only", "train", *overrides)


@pytest.fixture(scope="module")
def measured(tmp_path_factory, tiny_base, messages) -> Path:
    """A project in which all steps before the training have run, to be left as it is."""
    project = made(tmp_path_factory.mktemp("faults") / "shop", tiny_base, messages)
    done(project, "check")
    done(project, "run", "--only", "baseline")
    return project


@pytest.fixture
def project(measured, tmp_path) -> Path:
    """A copy of it that a test may break; MLflow's store stays the first one's."""
    copy = tmp_path / "shop"
    shutil.copytree(measured, copy, symlinks=True)
    return copy


@pytest.fixture
def small_disk(tmp_path, require) -> Iterator[Path]:
    """A file system of its own with little room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", f"size={ROOM_MIB}m", "tmpfs", str(folder)]
    mounted = (
        mount is not None
        and os.geteuid() == 0
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )
    require(mounted, "mounting a tmpfs needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, *, leave: int) -> Path:
    """Take all room of a disk but some bytes."""
    free = shutil.disk_usage(disk).free
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - leave)
    return filler


# --- a full or read-only disk ---


def test_a_disk_that_fills_up_costs_one_line_and_no_work(small_disk, tiny_base, messages, tmp_path):
    project = made(small_disk / "shop", tiny_base, messages)
    tight = fill(small_disk, leave=32 << 10)
    said = call(project, "run", "--only", "ingest")
    assert said.code == 1
    assert "disk is full" in said.complaint or "free some space" in said.complaint
    assert not (project / "data" / "interim" / "rows").exists()
    tight.unlink()
    done(project, "run", "--only", "ingest")

    done(project, "check")
    done(project, "run", "--only", "baseline")
    tight = fill(small_disk, leave=600 << 10)
    said = only_train(project)
    assert said.code == 1
    assert "space" in said.complaint
    tight.unlink()
    done(project, "run", "--only", "train")

    shutil.rmtree(project / ".tunewright" / "checkpoints")
    tight = fill(small_disk, leave=600 << 10)
    words = ("training.checkpoint_steps=1000", "training.epochs=1")
    done(project, "run", "--dry-run", *words)
    said = call(project, "run", "--only", "train", *words)
    assert said.code == 1, said.err
    assert "space" in said.complaint
    tight.unlink()
    done(project, "run", "--only", "train", *words)
    assert done(project, "run", "--only", "train", "--json", *words).facts["steps"]["train"] == "skipped"


def test_a_read_only_project_is_said_to_be_one(small_disk, tiny_base, messages):
    project = made(small_disk / "shop", tiny_base, messages)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    said = call(project, "run")
    assert said.code == 2
    assert "Read-only" in said.complaint
    assert str(project) in said.complaint


# --- stopped ---


def start(project: Path, log: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tunewright", "run", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("w") as output:
        return subprocess.Popen(
            command,
            cwd=project,
            env=environment,
            stdout=output,
            stderr=output,
            text=True,
            # A shell's background jobs ignore Ctrl-C, and so would every process that they start.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no other thread
        )


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str], log: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the command ended too early:\n{log.read_text()}")
        if condition():
            return
        time.sleep(0.01)
    pytest.fail(f"nothing happened in time:\n{log.read_text()}")


def sealed(project: Path) -> list[Path]:
    """List whole checkpoints, oldest first."""
    found = (project / ".tunewright" / "checkpoints").glob("*/checkpoint-*/seal.json")
    return sorted((path.parent for path in found), key=lambda folder: int(folder.name.split("-")[1]))


def stopped_by(signal_number: int, project: Path, log: Path) -> tuple[int, str]:
    """Start a training, stop it once it has a checkpoint that was not there before; give code and output."""
    before = {folder.name for folder in sealed(project)}
    process = start(project, log, "--only", "train", *LONG)
    wait_for(lambda: {folder.name for folder in sealed(project)} - before, process, log)
    process.send_signal(signal_number)
    return process.wait(timeout=60), log.read_text()


def statuses(project: Path) -> set[str]:
    """Return the states of all executions in the project's tracking store."""
    with sqlite3.connect(project / ".tunewright" / "mlflow.db") as store:
        return {status for (status,) in store.execute("SELECT status FROM runs")}


def test_stopped_in_every_way_and_damaged_it_still_ends_with_the_same_weights(project, measured, tmp_path):
    whole = tmp_path / "whole"
    shutil.copytree(measured, whole, symlinks=True)
    assert only_train(whole, *LONG).code == 0

    code, said = stopped_by(signal.SIGINT, project, tmp_path / "interrupted")
    assert code == 130
    assert "goes on where it stopped" in only_complaint(said)
    code, said = stopped_by(signal.SIGTERM, project, tmp_path / "terminated")
    assert code == 143
    assert "terminated" in only_complaint(said)
    assert "RUNNING" not in statuses(project), "an ended process leaves no run open"
    code, said = stopped_by(signal.SIGKILL, project, tmp_path / "killed")
    assert code == -signal.SIGKILL

    checkpoints = sealed(project)
    newest = checkpoints[-1]
    os.truncate(newest / "model.safetensors", 1000)
    answer = only_train(project, *LONG)
    if len(checkpoints) == 1:
        assert answer.code == 1
        shutil.rmtree(newest.parent)
        answer = only_train(project, *LONG)
    else:
        assert newest.name in answer.err
    assert answer.code == 0, answer.err
    assert pointer(project)["logged"]["digest"] == pointer(whole)["logged"]["digest"]


# --- files that were damaged ---


@pytest.fixture(scope="module")
def finished(measured, tmp_path_factory) -> Path:
    """A project in which all has run; a test that damages something mends it again."""
    folder = tmp_path_factory.mktemp("finished") / "shop"
    shutil.copytree(measured, folder, symlinks=True)
    for path in ("mlflow.db", "artifacts"):  # a store of its own, so that the baseline is measured anew
        target = folder / ".tunewright" / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    done(folder, "run", "--json", "training.epochs=1")
    return folder


def damage(path: Path, content: bytes) -> None:
    """Replace a file's content, though DVC has made it read-only and linked to its cache."""
    with writing(path) as temporary:
        temporary.write_bytes(content)


def tuned(project: Path) -> str:
    """Name the version that the last run registered."""
    record = json.loads((project / "models" / "registered.json").read_text())
    return f"{record['model']}/{record['version']}"


def rerun(project: Path) -> dict[str, str]:
    return done(project, "run", "--json", "training.epochs=1").facts["steps"]


def test_a_damaged_pointer_is_named_and_running_again_mends_it(finished):
    path = finished / "models" / "candidate.json"
    for content in (b'{"logged": ', b'{"logged": 1}', b"[]", b"\xff\xfe\x00"):
        damage(path, content)
        said = call(finished, "run", "--only", "evaluate", "--force", "training.epochs=1")
        assert said.code == 1
        assert str(path) in said.complaint
        assert "run" in said.complaint
    path.unlink()
    assert rerun(finished)["train"] == "skipped", "DVC's run cache holds it"
    assert path.is_file()


def test_a_damaged_manifest_is_named_and_running_again_mends_it(finished):
    path = finished / "data" / "processed" / "manifest.json"
    damage(path, path.read_bytes()[:200])
    said = call(finished, "data", "show")
    assert said.code == 1
    assert str(path) in said.complaint
    path.unlink()
    assert rerun(finished)["split"] == "skipped", "DVC's run cache holds it"
    done(finished, "data", "show")


def test_a_cut_shard_is_named_and_the_command_in_the_line_mends_it(finished):
    (shard,) = (finished / "data" / "processed" / "test").glob("*.parquet")
    damage(shard, shard.read_bytes()[:-50])
    said = call(finished, "run", "--only", "evaluate", "--force", "training.epochs=1")
    assert said.code == 2
    assert shard.name in said.complaint
    assert "--from split --force" in said.complaint
    assert rerun(finished)["split"] == "skipped", "DVC's run cache holds it"
    done(finished, "run", "--only", "evaluate", "--force", "training.epochs=1")


def test_weights_that_were_tampered_with_or_deleted_are_refused_and_trained_again(finished):
    def weights() -> Path:
        model = pointer(finished)["logged"]["uri"].removeprefix("models:/")
        return next((finished / ".tunewright" / "artifacts").rglob(f"{model}/**/model.safetensors"))

    path = weights()
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[-400] ^= 1
    path.write_bytes(changed)
    for words in (
        ("run", "--only", "evaluate", "--force", "training.epochs=1"),
        ("predict", "a", "--model", tuned(finished)),
    ):
        said = call(finished, *words)
        assert said.code == 1
        assert "certified" in said.complaint
    path.unlink()
    said = call(finished, "predict", "a text", "--model", tuned(finished))
    assert said.code != 0
    assert str(path.parent) in said.complaint
    assert rerun(finished)["train"] == "ran"
    assert weights().read_bytes() == whole


def test_a_damaged_store_is_named_and_moving_it_away_mends_it(finished):
    path = finished / ".tunewright" / "mlflow.db"
    path.write_bytes(path.read_bytes()[: 64 << 10].replace(b"SQLite format 3", b"no longer SQLit"))
    for words in (("predict", "a text"), ("models", "list"), ("run", "training.epochs=1")):
        said = call(finished, *words)
        assert said.code == 1
        assert str(path) in said.complaint
        assert "tunewright run" in said.complaint
    path.rename(path.with_name("damaged.db"))
    again = tunewright(
        finished, "run", "--json", "training.epochs=1"
    )  # a process that never held the damaged file
    assert again.returncode == 0, again.stderr
    states = json.loads(again.stdout.splitlines()[-1])["steps"]
    assert [states[name] for name in ("check", "baseline", "train", "register")] == ["skipped", *["ran"] * 3]
    asked = tunewright(finished, "predict", "a text", "--model", "shop/2")
    assert asked.returncode == 0, asked.stderr


# --- what a machine lacks ---


def test_without_git_init_says_so_and_a_project_that_exists_still_runs(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    said = call(tmp_path, "init", "new")
    assert said.code == 2
    assert "git is not installed" in said.complaint
    assert not (tmp_path / "new").exists()
    assert set(rerun(finished).values()) == {"skipped"}


# --- a tracking server ---


def test_a_wrong_password_and_a_server_that_dies_cost_one_line(measured, tmp_path, monkeypatch):
    from tunewright.config.dotenv import read_secrets
    from tunewright.registry.server import down
    from tunewright.support.paths import ProjectPaths

    project = tmp_path / "shop"
    shutil.copytree(measured, project, symlinks=True)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    log, process = tmp_path / "log", None
    try:
        done(project, "server", "up", "--port", "0")
        dotenv = project / ".env"
        secret = read_secrets(dotenv)["MLFLOW_TRACKING_PASSWORD"]
        right = dotenv.read_text()
        dotenv.write_text(right.replace(secret, "a-wrong-password-of-mine"))
        said = subprocess.run(
            [sys.executable, "-m", "tunewright", "models", "list"],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 2
        assert "MLFLOW_TRACKING_PASSWORD" in only_complaint(said.stderr)
        assert secret not in said.stdout + said.stderr
        assert "a-wrong-password-of-mine" not in said.stdout + said.stderr

        dotenv.write_text(right)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        process = start(project, log, *LONG)
        wait_for(lambda: sealed(project), process, log)
        down(ProjectPaths(project))
        assert process.wait(timeout=WAIT_S) == 1
        assert "127.0.0.1" in only_complaint(log.read_text())
        assert secret not in log.read_text()
    finally:
        if process is not None:
            process.kill()
        down(ProjectPaths(project))
