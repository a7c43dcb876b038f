"""The reference pages are what the code gives."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "make_reference.py"


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("make_reference", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli", "recipe"])
def test_a_reference_page_says_what_the_code_does(reference, name):
    page = getattr(reference, f"{name}_page")()
    written = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert page == written, "run `python tools/make_reference.py`"


def test_every_key_and_every_command_has_its_place(reference):
    from tunewright.config.compose import known_keys

    recipe, commands = reference.recipe_page(), reference.cli_page()
    assert [key for key in known_keys() if f"`{key}`" not in recipe] == []
    assert "`tunewright models rollback`" in commands
    assert "tunewright step" not in commands  # what `dvc repro` calls, not people
