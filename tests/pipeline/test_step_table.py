"""The table of steps and what is derived from it."""

from __future__ import annotations

import yaml

from tunewright.config.compose import compose, known_keys
from tunewright.config.schema import Recipe
from tunewright.pipeline.dvcfile import DVC_FILE, PARAMS_FILE, pipeline, read_recipe, write_pipeline
from tunewright.pipeline.runner import function_of
from tunewright.pipeline.steps import SOURCE, STEPS, select, table


def test_every_step_reads_only_what_an_earlier_one_gives():
    given = {SOURCE}
    for step in STEPS:
        assert set(step.takes) <= given, step.name
        assert not set(step.gives) & given, step.name
        given |= set(step.gives)


def test_every_step_names_a_function_and_keys_that_exist():
    keys = set(known_keys())
    for step in STEPS:
        assert callable(function_of(step))
        assert set(step.params) <= keys, step.name


SURROUNDINGS = {"data.versioning", "orchestration", "serving", "monitoring"}
"""Sections that say what happens around the steps and after them; no result depends on them."""


def test_every_key_of_the_recipe_is_read_by_a_step():
    steps = table(compose(["notebooks.look.path=look.ipynb"]))
    read = {key.partition(".look")[0] for step in steps for key in step.params} | SURROUNDINGS
    covered = {key for key in known_keys() if any(key == each or key.startswith(f"{each}.") for each in read)}
    sections = {key for key in known_keys() if any(each.startswith(f"{key}.") for each in known_keys())}
    assert set(known_keys()) - covered - sections == set()


def test_the_dvc_file_is_the_table(tmp_path):
    write_pipeline(tmp_path, compose(["data.source=x.csv"]), ("x.csv",))
    written = yaml.safe_load((tmp_path / DVC_FILE).read_text())
    assert written == pipeline(("x.csv",), tmp_path)
    assert list(written["stages"]) == [step.name for step in STEPS]
    assert written["stages"]["ingest"]["deps"] == ["x.csv"]
    for step in STEPS:
        stage = written["stages"][step.name]
        assert stage["cmd"] == f"tunewright step {step.name}"
        assert [next(iter(out)) for out in stage["outs"]] == list(step.gives)
        assert stage["params"] == [{PARAMS_FILE: [*step.params, f"steps.{step.name}"]}]


def test_the_recipe_comes_back_from_the_params_file(tmp_path):
    recipe = compose(["training=lora", "data.validation.labels=[ham,spam]", "training.epochs=1"])
    write_pipeline(tmp_path, recipe, ())
    assert read_recipe(tmp_path) == recipe
    assert isinstance(read_recipe(tmp_path), Recipe)


def test_an_unchanged_recipe_leaves_the_files_untouched(tmp_path):
    write_pipeline(tmp_path, compose(), ("x.csv",))
    before = [(tmp_path / name).stat().st_mtime_ns for name in (DVC_FILE, PARAMS_FILE)]
    write_pipeline(tmp_path, compose(), ("x.csv",))
    assert [(tmp_path / name).stat().st_mtime_ns for name in (DVC_FILE, PARAMS_FILE)] == before


def test_steps_are_selected_by_start_end_and_name():
    names = [step.name for step in STEPS]
    assert [step.name for step in select(start="split")] == names[names.index("split") :]
    assert [step.name for step in select(until="check")] == names[: names.index("check") + 1]
    assert [step.name for step in select(only="train")] == ["train"]
