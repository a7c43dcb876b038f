"""``kill -9`` at a random moment of each step: the next run completes; no data, version or commit is lost or doubled.

``TUNEWRIGHT_KILLS=20`` kills each step twenty times instead of once.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter

import pytest
from sessions import done

from tunewright.pipeline.steps import STEPS

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("TUNEWRIGHT_KILLS", "1"))
RELABELLED = 3
LONGEST_S = 240.0


@pytest.fixture(scope="module")
def shop(ran, tmp_path_factory):
    """A project with its source inside, in which everything has run."""
    folder = tmp_path_factory.mktemp("killed") / "shop"
    shutil.copytree(ran.folder, folder, symlinks=True)
    source = folder / "data" / "raw" / "messages.csv"
    source.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ran.folder.parent / "messages.csv", source)
    config = folder / "configs" / "config.yaml"
    config.write_text(
        config.read_text().replace(str(ran.folder.parent / "messages.csv"), "data/raw/messages.csv")
    )
    subprocess.run(["git", "config", "user.name", "Ada"], cwd=folder, check=True)
    subprocess.run(["git", "config", "user.email", "ada@example.org"], cwd=folder, check=True)
    done(folder, "run")
    return folder


def change(folder, drawn):
    """Give some rows other labels: every step has something to do."""
    source = folder / "data" / "raw" / "messages.csv"
    with source.open(newline="") as stream:
        head, *rows = list(csv.reader(stream))
    column = head.index("intent")
    labels = sorted({row[column] for row in rows})
    for row in drawn.sample(rows, RELABELLED):
        row[column] = labels[(labels.index(row[column]) + 1) % len(labels)]
    with source.open("w", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])


def kill_in(folder, name, seconds, drawn):
    """Run until a step has begun, and kill everything after a part of the time that the step takes."""
    log = folder / ".tunewright" / "killed.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "tunewright", "run"],
            cwd=folder, stderr=stream, stdout=stream, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    deadline = time.monotonic() + LONGEST_S
    while f"] {name}:" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(drawn.uniform(0, 1.2 * seconds + 0.1))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def commits_of(folder):
    return done(folder, "data", "log", "--all", "--json").facts


def facts_of(folder, earlier):
    """Check that what git, the history, DVC and MLflow say agrees, and return the data versions that are new."""
    log = [each for each in commits_of(folder) if each["commit"] not in earlier]
    assert max(Counter((each["step"], each["digest"]) for each in log).values()) == 1, "a version twice"
    history = json.loads((folder / "commit_history.json").read_text()).values()
    known = {each["commit"] for each in history}
    assert {each["commit"] for each in log} <= known
    assert max(Counter(each["commit"] for each in history).values()) == 1
    manifest = done(folder, "data", "show", "--json").facts
    newest = next(each for each in log if each["step"] == "split")
    assert newest["digest"] == manifest["digest"]
    assert newest["is_current"]
    committed = subprocess.run(
        ["git", "show", "HEAD:dvc.lock"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert committed.stdout == (folder / "dvc.lock").read_text()
    with sqlite3.connect(folder / ".tunewright" / "mlflow.db") as store:
        states = dict(store.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall())
        tags = store.execute(
            "SELECT run_uuid, value FROM tags WHERE key = 'tunewright.data_commit'"
        ).fetchall()
    assert "RUNNING" not in states, states
    assert {each["commit"] for each in log} <= {commit for _, commit in tags}
    return [each for each in log if each["step"] == "split"]


@pytest.mark.timeout(KILLS * 1200)
def test_killed_in_any_step_the_next_run_completes(shop):
    drawn = random.Random(20)
    seconds = {}
    earlier = {each["commit"] for each in commits_of(shop)}
    models = len(done(shop, "models", "list", "--json").facts)
    rounds = [step.name for step in STEPS] * KILLS
    for count, name in enumerate(rounds, start=1):
        change(shop, drawn)
        kill_in(shop, name, seconds.get(name, 0.3), drawn)
        started = time.monotonic()
        answer = done(shop, "run", "--json").facts
        seconds[name] = min(5.0, (time.monotonic() - started) / 4)
        assert answer["version"] is not None, name
        versions = facts_of(shop, earlier)
        assert len(versions) == count, f"after a kill in {name}"
        listed = done(shop, "models", "list", "--json").facts
        assert len(listed) == models + 2 * count, f"after a kill in {name}: base and tuned, each once"
        assert len({each["version"] for each in listed}) == len(listed)
    states = done(shop, "run", "--json").facts["steps"]
    assert set(states.values()) == {"skipped"}
