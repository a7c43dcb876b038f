"""Composing recipes: what a user writes, what they get, and what they are told when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tunewright.config.compose import PACKAGED, compose, groups, known_keys
from tunewright.config.schema import Recipe
from tunewright.support.errors import InputError

PACKAGED_FILES = sorted(PACKAGED.rglob("*.yaml"))


@pytest.mark.parametrize("file", PACKAGED_FILES, ids=lambda file: file.relative_to(PACKAGED).as_posix())
def test_every_packaged_file_opens_with_its_command_and_explains_each_knob(file):
    lines = file.read_text().splitlines()
    assert lines[0].startswith("# tunewright ")
    for line in lines:
        key, colon, rest = line.partition(":")
        is_knob = bool(colon) and not line.lstrip().startswith(("#", "-")) and bool(rest.strip())
        assert not is_knob or "#" in rest, f"{key.strip()} has no comment"


@pytest.mark.parametrize(
    ("group", "option"), [(group, option) for group, options in groups().items() for option in options]
)
def test_every_packaged_option_composes(group, option):
    assert isinstance(compose([f"{group}={option}"]), Recipe)


def test_packaged_defaults_equal_those_of_the_schema():
    assert compose() == Recipe()


def test_a_group_and_values_override_the_defaults():
    recipe = compose(["training=lora", "training.learning_rate=3e-4", "data.cleaning.urls=mask"])
    assert recipe.training.method == "lora"
    assert recipe.training.learning_rate == 3e-4
    assert recipe.data.cleaning.urls == "mask"


def test_a_projects_own_option_and_values_win(tmp_path):
    (tmp_path / "training").mkdir()
    (tmp_path / "config.yaml").write_text(
        "defaults:\n  - data: default\n  - model: minilm\n  - training: mine\n  - evaluation: default\n"
        "  - registry: local\n  - _self_\nproject: spam\nseed: 7\ndata:\n  source: x.csv\n"
    )
    (tmp_path / "training" / "mine.yaml").write_text("defaults:\n  - full\n  - _self_\nepochs: 9\n")
    recipe = compose(["data.test_share=0.3"], configs=tmp_path)
    assert (recipe.project, recipe.seed, recipe.training.epochs) == ("spam", 7, 9)
    assert (recipe.data.source, recipe.data.test_share) == ("x.csv", 0.3)
    assert {"full", "lora", "mine"} <= set(groups(tmp_path)["training"])


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("training=lroa", ["training", "lroa", "did you mean 'lora'"]),
        ("training.learnin_rate=1", ["training.learnin_rate", "did you mean 'training.learning_rate'"]),
        ("trainin.epochs=1", ["trainin.epochs", "did you mean 'training.epochs'"]),
        ("training.epochs=-1", ["training.epochs", "-1", "greater than 0"]),
        ("training.epochs=many", ["training.epochs", "'many'", "number"]),
        ("data.test_share=1.5", ["data.test_share", "1.5", "less than 1"]),
        ("training.precision=fp8", ["training.precision", "'fp8'", "'bf16'"]),
        ("epochs", ["'epochs'", "KEY=VALUE"]),
        ("seed=x", ["seed", "'x'", "integer"]),
    ],
)
def test_a_wrong_override_names_the_key_and_the_mend(word, parts):
    with pytest.raises(InputError) as caught:
        compose([word])
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_key_in_a_projects_file_names_the_nearest(tmp_path):
    (tmp_path / "config.yaml").write_text(
        "defaults:\n  - data: default\n  - model: minilm\n  - training: full\n  - evaluation: default\n"
        "  - registry: local\n  - _self_\ntraining:\n  learning_rte: 1\n"
    )
    with pytest.raises(InputError, match=r"config\.yaml.*training\.learning_rte.*training\.learning_rate"):
        compose(configs=tmp_path)


@pytest.mark.parametrize("content", ["a: [", "- 1\n- 2\n", "defaults:\n  - data: nowhere\n", "\tx"])
def test_a_broken_project_file_gives_one_line(tmp_path, content):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(InputError) as caught:
        compose(configs=tmp_path)
    assert "config.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
@example("s3://bucket/a b (1).csv")
@example("it's $HOME/${x},[y]={z}\\")
@example("1e3")
def test_any_source_comes_through_as_it_was_written(source):
    assume(source != "null")
    assert compose([f"data.source={source}"]).data.source == source


def test_known_keys_reach_the_leaves():
    assert {"training.lora.r", "evaluation.gate.alpha", "data.cleaning.urls", "seed"} <= set(known_keys())


def test_the_packaged_groups_are_installed_with_the_package():
    assert Path(PACKAGED / "config.yaml").is_file()
