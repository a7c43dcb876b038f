"""The local stack: real tracking server, page and daemon; files that arrive, crashes, every job over GraphQL.

``TUNEWRIGHT_FILES=10`` drops ten files at once instead of four.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import time
from importlib import resources

import psutil
import pytest
import requests
import yaml
from projects import tunewright
from sessions import done

pytest.importorskip("dagster_webserver")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

FILES = int(os.environ.get("TUNEWRIGHT_FILES", "4"))
WAIT_S = 600.0
INTERVAL_S = 5
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
LAUNCH = """
mutation Launch($job: String!, $config: RunConfigData!) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "tunewright", repositoryName: "__repository__", jobName: $job},
    runConfigData: $config
  }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
RUNS = "{ runsOrError { ... on Runs { results { runId jobName status tags { key value } } } } }"
TEMPLATES = resources.files("tunewright") / "templates" / "jobs"
JOBS = sorted(each.name.removesuffix(".yaml") for each in TEMPLATES.iterdir())


class Page:
    """Dagster's page, as its own interface asks it."""

    def __init__(self, address):
        self.address = address

    def ask(self, query, **variables):
        answer = requests.post(
            f"{self.address}/graphql", json={"query": query, "variables": variables}, timeout=60
        ).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def launch(self, job, config):
        answer = self.ask(LAUNCH, job=job, config=config)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return answer["run"]["runId"]

    def runs(self):
        return self.ask(RUNS)["runsOrError"]["results"]

    def arrived(self):
        """The runs that files asked for, by file."""
        found = {}
        for run in self.runs():
            tags = {tag["key"]: tag["value"] for tag in run["tags"]}
            if "tunewright/file" in tags:
                found.setdefault(tags["tunewright/file"], []).append(run["status"])
        return found


def until(is_so, what, *, seconds=WAIT_S):
    """Wait for something to be so."""
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline, f"still waiting for {what}"
        time.sleep(1)
    return found


def processes_of(folder):
    """Living processes that were started for a project."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        marked = str(folder) in environment.get("TUNEWRIGHT_SERVER_OF", "")
        if marked and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


@pytest.fixture(scope="module")
def stack(ran, tmp_path_factory):
    """A project with a champion whose stack is up; it goes down at the end, and leaves nothing behind."""
    folder = tmp_path_factory.mktemp("stack") / "shop"
    shutil.copytree(ran.folder, folder, symlinks=True)
    done(folder, "models", "promote", f"shop/{ran.facts['version']}")
    config = folder / "configs" / "config.yaml"
    config.write_text(config.read_text() + f"\norchestration:\n  interval_s: {INTERVAL_S}\n")
    said = tunewright(folder, "up", "--port", "0", "--tracking-port", "0", "--json")
    assert said.returncode == 0, said.stderr
    facts = json.loads(said.stdout.splitlines()[-1])
    yield folder, facts
    ended = tunewright(folder, "down", "--json")
    assert ended.returncode == 0, ended.stderr
    assert processes_of(folder) == []


def page_of(folder):
    said = tunewright(folder, "status", "--json")
    return Page(json.loads(said.stdout.splitlines()[-1])["parts"]["page"]["address"])


def test_all_parts_are_healthy_and_take_less_than_a_gigabyte(stack):
    folder, facts = stack
    assert facts["healthy"]
    assert set(facts["parts"]) == {"tracking", "code", "page", "daemon"}
    assert facts["memory_mb"] < 1000
    assert requests.get(facts["parts"]["page"]["address"], timeout=30).ok
    again = tunewright(folder, "up", "--json")
    assert again.returncode == 0, again.stderr
    assert "running already" in again.stderr


def test_what_was_recorded_before_is_still_there_and_nothing_runs_again(stack):
    folder, _ = stack
    states = json.loads(tunewright(folder, "run", "--json").stdout.splitlines()[-1])["steps"]
    assert set(states.values()) == {"skipped"}


def test_files_that_are_dropped_are_each_answered_once_also_after_a_crash(stack):
    folder, _ = stack
    page = page_of(folder)
    incoming = folder / "data" / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    names = [f"day-{number}.csv" for number in range(FILES)]
    for number, name in enumerate(names):
        with (incoming / name).open("w", newline="") as stream:
            rows = [[f"parcel {number}-{row} has not come and I want to know why"] for row in range(3)]
            csv.writer(stream).writerows([["text"], *rows])
    (incoming / "broken.parquet").write_bytes(b"PAR1 no")
    (incoming / "half.csv.part").write_text("text\nnot yet")
    until(lambda: len(page.arrived()) >= 2, "the first runs")
    (daemon,) = [each for each in processes_of(folder) if "dagster._daemon" in " ".join(each.cmdline())]
    os.kill(daemon.pid, signal.SIGKILL)
    until(
        lambda: not json.loads(tunewright(folder, "status", "--json").stdout.splitlines()[-1])["healthy"],
        "death",
    )
    up = tunewright(folder, "up", "--port", "0", "--tracking-port", "0")
    assert up.returncode == 0, up.stderr
    page = page_of(folder)

    def all_ended():
        found = page.arrived()
        ended = all(status in ENDED for statuses in found.values() for status in statuses)
        return found if len(found) == len(names) + 1 and ended else None

    found = until(all_ended, "a run a file")
    time.sleep(3 * INTERVAL_S)
    assert page.arrived() == found, "no run twice"
    assert {name: found[name] for name in names} == {name: ["SUCCESS"] for name in names}
    assert found["broken.parquet"] == ["FAILURE"]
    assert not (incoming / "broken.parquet").exists()
    assert (folder / "data" / "refused" / "broken.parquet").is_file()
    assert "half.csv.part" not in found
    for kind in ("unlabelled", "inferred", "to_label"):
        made = [path for path in (folder / "data" / kind).glob("day-*") if path.is_dir()]
        assert len(made) == len(names), kind
        assert all(path.with_name(path.name + ".dvc").is_file() for path in made), kind


@pytest.mark.parametrize("job", JOBS)
def test_every_job_runs_over_graphql(stack, job):
    folder, _ = stack
    page = page_of(folder)
    config = yaml.safe_load((TEMPLATES / f"{job}.yaml").read_text(encoding="utf-8"))
    (folder / "texts.csv").write_text("text\nmy parcel is late again\nplease change the address\n")
    ops = config.get("ops", {})
    if "prepare_texts" in ops:
        ops["prepare_texts"]["config"]["source"] = "texts.csv"
    if "choose_rows" in ops:
        ops["choose_rows"]["config"]["rows"] = 1
    if "search" in ops:
        ops["search"]["config"] |= {
            "space": ["training.epochs=1", "training.batch_size=choice(16,32)"],
            "trials": 2,
        }
    run_id = page.launch(job, config)

    def ended():
        return next(
            (run["status"] for run in page.runs() if run["runId"] == run_id and run["status"] in ENDED), None
        )

    assert until(ended, job) == "SUCCESS"


def test_a_signal_starts_the_job_that_it_names(stack):
    from tunewright import Project
    from tunewright.pipeline.signals import raise_signal

    folder, _ = stack
    page = page_of(folder)
    signal_ = raise_signal(Project.open(folder).paths, job="version_data", reason="a test")

    def started():
        keys = {tag["value"] for run in page.runs() for tag in run["tags"] if tag["key"] == "dagster/run_key"}
        return f"signal-{signal_.id}" in keys

    until(started, "the signal's run")
