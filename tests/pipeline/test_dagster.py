"""The pipeline in Dagster: made from the table of steps, and the same thing as ``tunewright run``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import yaml
from sessions import done

from tunewright.pipeline.steps import SOURCE, STEPS

dg = pytest.importorskip("dagster")

JOBS = {
    "clean", "preprocess", "train", "retrain", "preprocess_unlabelled", "infer", "sample", "preprocess_infer_version",
    "tune", "choose_best", "version_data",
}  # fmt: skip
TEMPLATES = resources.files("tunewright") / "templates" / "jobs"


@pytest.fixture(scope="session")
def repository():
    from tunewright.pipeline.dagster import definitions

    return definitions().get_repository_def()


@pytest.fixture
def shop(ran, tmp_path, monkeypatch):
    """A copy of a project in which everything has run, with a champion."""
    folder = tmp_path / "shop"
    shutil.copytree(ran.folder, folder, symlinks=True)
    done(folder, "models", "promote", f"shop/{ran.facts['version']}")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return folder


def ran_in_process(repository, name, **config):
    job = repository.get_job(name)
    return job.execute_in_process(
        instance=dg.DagsterInstance.ephemeral(), run_config=config, raise_on_error=False
    )


def test_each_step_is_an_asset_with_its_code_version_and_its_inputs(repository):
    graph = repository.asset_graph
    names = {key.path[-1]: key for key in graph.get_all_asset_keys()}
    assert set(names) == {"source", *(step.name for step in STEPS)}
    givers = {path: step.name for step in STEPS for path in step.gives} | {SOURCE: "source"}
    for step in STEPS:
        node = graph.get(names[step.name])
        assert node.code_version == str(step.version)
        assert {key.path[-1] for key in node.parent_keys} == {givers[path] for path in step.takes}
    blocking = {key.name for key in graph.asset_check_keys if graph.get(key).blocking}
    assert blocking == {"rows_are_good", "nothing_on_both_sides", "gate"}


def test_there_is_a_job_for_each_task_and_an_example_of_its_configuration(repository):
    named = {job.name for job in repository.get_all_jobs()} - {"__ASSET_JOB"}
    assert named == JOBS
    assert {Path(each.name).stem for each in TEMPLATES.iterdir()} == JOBS


@pytest.mark.parametrize("name", sorted(JOBS))
def test_an_example_fits_its_job_and_says_how_it_is_used(repository, name):
    text = (TEMPLATES / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith(
        f"# dagster job execute -m tunewright.pipeline.dagster -j {name} -c jobs/{name}.yaml\n"
    )
    dg.validate_run_config(repository.get_job(name), yaml.safe_load(text))


def test_a_new_project_has_the_examples(tmp_path):
    done(tmp_path, "init", "shop")
    assert {path.stem for path in (tmp_path / "shop" / "jobs").iterdir()} == JOBS


@pytest.mark.slow
def test_dagster_finds_nothing_to_do_where_run_has_been_and_the_other_way_round(shop, repository):
    first = ran_in_process(repository, "train")
    assert first.success or not [event for event in first.all_events if event.is_step_failure]
    events = {event.asset_key.path[-1]: event for event in first.get_asset_materialization_events()}
    assert set(events) == {step.name for step in STEPS}
    for name, event in events.items():
        assert event.materialization.metadata["state"].value == "skipped", name
        assert len(event.materialization.metadata["mlflow_run"].value) == 32, name
    shown = events["split"].materialization.metadata
    manifest = done(shop, "data", "show", "--json").facts
    assert shown["digest"].value == manifest["digest"]
    assert shown["dagster/row_count"].value == sum(manifest["splits"].values())
    changed = {"project": {"config": {"overrides": ["data.test_share=0.25"]}}}
    second = ran_in_process(repository, "preprocess", resources=changed)
    assert second.success
    states = done(shop, "run", "--until", "split", "data.test_share=0.25", "--json").facts["steps"]
    assert set(states.values()) == {"skipped"}


@pytest.mark.slow
def test_wrong_input_fails_with_one_line_and_is_not_tried_again(shop, repository):
    wrong = {"project": {"config": {"overrides": ["data.validation.min_rows_per_label=5000"]}}}
    failed = ran_in_process(repository, "preprocess", resources=wrong)
    assert not failed.success
    failures = [event for event in failed.all_events if event.is_step_failure]
    assert len(failures) == 1
    assert "min_rows_per_label" in failures[0].step_failure_data.error_display_string
    assert not [event for event in failed.all_events if event.is_step_up_for_retry]


@pytest.mark.slow
def test_a_file_is_answered_versioned_and_sampled_and_the_best_version_challenges(shop, repository):
    incoming = shop / "data" / "incoming"
    incoming.mkdir(parents=True)
    (incoming / "new.csv").write_text("text\nwhere is my parcel\nthe box came broken\nI want my money back\n")
    source = {
        "prepare_texts": {"config": {"source": "data/incoming/new.csv"}},
        "choose_rows": {"config": {"rows": 2}},
    }
    result = ran_in_process(repository, "preprocess_infer_version", ops=source)
    assert result.success
    (answers,) = [path for path in (shop / "data" / "inferred").iterdir() if path.is_dir()]
    (chosen,) = [path for path in (shop / "data" / "to_label").iterdir() if path.is_dir()]
    for folder in (answers, chosen):
        assert folder.with_name(folder.name + ".dvc").is_file()
    choice = ran_in_process(repository, "choose_best")
    assert choice.success
    metadata = choice.get_step_success_events()[0]
    assert metadata.step_key == "challenge_champion"


def test_a_signal_that_is_damaged_or_asks_for_no_job_doesnt_hold_up_the_next(
    repository, tmp_path, monkeypatch
):
    from tunewright import Project
    from tunewright.pipeline.signals import raise_signal

    done(tmp_path, "init", "shop")
    monkeypatch.chdir(tmp_path / "shop")
    paths = Project.open(tmp_path / "shop").paths
    raise_signal(paths, job="retrian", reason="a slip")
    (paths.state / "signals" / "0-damaged.json").write_text("{")
    wanted = raise_signal(paths, job="version_data", reason="drift")
    sensor = repository.get_sensor_def("signals")
    with dg.build_sensor_context(repository_def=repository) as context:
        tick = sensor.evaluate_tick(context)
    assert [(run.job_name, run.run_key) for run in tick.run_requests] == [
        ("version_data", f"signal-{wanted.id}")
    ]
    with dg.build_sensor_context(repository_def=repository, cursor=tick.cursor) as context:
        assert sensor.evaluate_tick(context).run_requests == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clean", "version_data", "sample"])
def test_a_job_runs_from_dagsters_own_command_line(shop, name):
    if name == "sample":
        (shop / "texts.txt").write_text("where is my parcel\nthe box came broken\n")
        done(shop, "infer", "texts.txt")
    (shop / ".tunewright" / "dagster").mkdir(exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "dagster",
        "job",
        "execute",
        "-m",
        "tunewright.pipeline.dagster",
        "-j",
        name,
    ]
    said = subprocess.run(
        [*command, "-c", str(TEMPLATES / f"{name}.yaml")],
        cwd=shop,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr[-2000:]
    assert "RUN_SUCCESS" in said.stderr
