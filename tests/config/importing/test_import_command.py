"""`tunewright import`: what is printed, what is written, and that it composes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from tunewright.config.compose import compose
from tunewright.config.importing.converting import import_config
from tunewright.config.importing.writing import as_yaml

FILE = """
base_model: org/model
adapter: lora
lora_r: 4
learning_rate: 1e-4
unheard_of: 1
datasets: [{path: rows.jsonl, type: alpaca}]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    return path


def test_the_recipe_goes_to_standard_output_and_the_keys_to_standard_error(cli, file, tmp_path):
    said = cli("import", "axolotl", file, cwd=tmp_path)
    assert said.code == 0
    recipe = yaml.safe_load(said.out)
    assert recipe["defaults"][2] == {"training": "sft"}
    assert recipe["training"]["lora"]["r"] == 4
    assert recipe["project"] == "mine"
    assert "r: 4 # lora_r" in said.out
    assert "lora_r → training.lora.r=4" in said.err
    assert "unknown (1)" in said.err
    assert "unheard_of" in said.err


@pytest.mark.parametrize("to", ["shop/configs/config.yaml", "shop", "shop/configs"])
def test_what_is_written_composes(cli, file, tmp_path, to):
    said = cli("import", "axolotl", file, "--to", to, cwd=tmp_path)
    assert said.code == 0
    assert "lora_r → training.lora.r=4" in said.out
    recipe = compose(["training.epochs=2"], configs=tmp_path / "shop" / "configs")
    assert (recipe.project, recipe.model.name, recipe.training.objective) == ("shop", "org/model", "sft")
    assert (recipe.training.method, recipe.training.lora.r, recipe.training.lora.alpha) == ("lora", 4, 32)
    assert (recipe.training.epochs, recipe.training.batch_size) == (2, 1)
    assert recipe.data.cleaning.whitespace is False, "from the group data=chat"


def test_a_file_that_exists_is_replaced_only_when_asked(cli, file, tmp_path):
    target = tmp_path / "configs" / "config.yaml"
    target.parent.mkdir()
    target.write_text("mine: 1\n")
    said = cli("import", "axolotl", file, "--to", "configs", cwd=tmp_path)
    assert said.code == 2
    assert "exists already; give another file, or add --force" in said.complaint
    assert target.read_text() == "mine: 1\n"
    assert cli("import", "axolotl", file, "--to", "configs", "--force", cwd=tmp_path).code == 0
    assert "org/model" in target.read_text()
    assert [each.name for each in target.parent.iterdir()] == ["config.yaml"]


def test_rows_that_lie_elsewhere_are_found_from_the_project(cli, file, tmp_path):
    (tmp_path / "rows.jsonl").write_text("{}\n")
    cli("import", "axolotl", file, "--to", "shop", cwd=tmp_path)
    recipe = compose(configs=tmp_path / "shop" / "configs")
    assert recipe.data.source == str(tmp_path / "rows.jsonl")


def test_a_program_gets_recipe_and_keys(cli, file, tmp_path):
    facts = cli("import", "axolotl", file, "--json", cwd=tmp_path).facts
    assert facts["recipe"]["training.lora.r"] == 4
    assert {"key": "lora_r", "outcome": "taken", "sets": {"training.lora.r": 4}, "note": ""} in facts["keys"]
    assert facts["counts"]["unknown"] == 1
    assert {each["target"] for each in facts["assumed"]} >= {"training.batch_size", "training.lora.dropout"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("import", "axolotl", "absent.yaml"), "absent.yaml: no such file"),
        (("import", "axolotl", "."), "is a folder"),
        (("import", "axolotl", "mine.yaml", "--to", "folder.yaml", "--force"), "folder.yaml: is a folder"),
        (("import", "axolotl", "mine.yaml", "--objective", "dpo"), "--objective: is for trl alone"),
        (("import", "axolot", "mine.yaml"), "axolotl"),
        (("import", "trl", "mine.yaml"), "--objective"),
    ],
)
def test_wrong_uses_give_one_line(cli, file, tmp_path, words, says):
    (tmp_path / "folder.yaml").mkdir()
    said = cli(*words, cwd=tmp_path)
    assert said.code == 2
    assert says in said.complaint


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
        lambda name: name.strip()
    )
)
@example("${oc.env:HOME}")
@example("\\${x}")
@example("a: b # c\\${")
@example("on")
@example("1e3")
@example("null")
def test_any_text_comes_through_the_written_file_as_it_was(name):
    """Hydra loads a file with OmegaConf."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "theirs.json"
        file.write_text(json.dumps({"default_system_message": name}))
        written = as_yaml(import_config("axolotl", file), project="mine")
    read = OmegaConf.to_container(OmegaConf.create(written), resolve=True)
    assert read["data"]["system"] == name.strip()


def test_a_name_with_the_signs_of_hydra_composes(cli, tmp_path):
    (tmp_path / "mine.yaml").write_text("base_model: 'a ${b} #c'\n")
    assert cli("import", "axolotl", "mine.yaml", "--to", "shop", cwd=tmp_path).code == 0
    assert compose(configs=tmp_path / "shop" / "configs").model.name == "a ${b} #c"
