"""A notebook that the recipe makes a step: it runs in its turn, and again only when what it reads has changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from notebook_files import copy_of, runs_of, said_in, write_notebook
from sessions import call, done

ROWS = [("where is my parcel", "delivery"), ("give me my money back", "refund")]
CONFIG = """
notebooks:
  look:
    path: notebooks/look.ipynb
    after: split
    parameters: {split: test}
"""
UNTIL = ("data.source=rows.csv", "data.split_by=text", "--until", "notebook-look")
LOOK = (
    "split = 'train'\nfactor = 2",
    "from tunewright import Project\nprint(split, factor, len(Project.open().dataset().examples(split)))",
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    """A project with a notebook as a step, in which nothing has run."""
    folder = tmp_path_factory.mktemp("notebook-steps")
    done(folder, "init", "shop")
    shop = folder / "shop"
    rows = [f"{text} {number},{label}" for number in range(40) for text, label in ROWS]
    (shop / "rows.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    config = shop / "configs" / "config.yaml"
    config.write_text(config.read_text() + CONFIG)
    write_notebook(shop / "notebooks" / "look.ipynb", *LOOK)
    return shop


def states(shop: Path, *words: str) -> dict[str, str]:
    return done(shop, "run", *UNTIL, *words, "--json").facts["steps"]


@pytest.mark.slow
def test_it_runs_in_its_turn_and_again_only_when_what_it_reads_changed(shop):
    first = states(shop)
    assert list(first)[-2:] == ["split", "notebook-look"]
    assert set(first.values()) == {"ran"}
    assert said_in(copy_of(shop, "look")).split()[:2] == ["test", "2"]
    assert set(states(shop).values()) == {"skipped"}
    config = shop / "configs" / "config.yaml"
    config.write_text(config.read_text().replace("{split: test}", "{split: test, factor: 3}"))
    changed = states(shop)
    assert [name for name, state in changed.items() if state == "ran"] == ["notebook-look"]
    assert said_in(copy_of(shop, "look")).split()[:2] == ["test", "3"]
    write_notebook(shop / "notebooks" / "look.ipynb", *LOOK, "print('more')")
    plan = done(shop, "run", *UNTIL, "--dry-run").out
    assert "notebooks/look.ipynb" in plan
    assert [name for name, state in states(shop).items() if state == "ran"] == ["notebook-look"]
    assert len(runs_of(shop, "look")) == 3
    record = json.loads((shop / ".tunewright" / "executions" / "notebook-look.json").read_text())
    assert record["run_id"] in {run.info.run_id for run, _ in runs_of(shop, "look")}


@pytest.mark.slow
def test_a_cell_that_fails_ends_the_run_and_the_next_one_starts_with_the_notebook(shop):
    states(shop)
    write_notebook(shop / "notebooks" / "look.ipynb", *LOOK, "rows = 1 / 0")
    failed = call(shop, "run", *UNTIL)
    assert (failed.code, "cell 4 (rows = 1 / 0): ZeroDivisionError" in failed.complaint) == (1, True)
    write_notebook(shop / "notebooks" / "look.ipynb", *LOOK, "rows = 1")
    assert [name for name, state in states(shop).items() if state == "ran"] == ["notebook-look"]


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("after: splitt", "notebooks.look.after"),
        ("path: notebooks/none.ipynb", "notebooks/none.ipynb"),
        ("path: ../outside.ipynb", "notebooks.look.path"),
        ("parameters: {nothing: 1}", "nothing"),
    ],
)
def test_what_is_wrong_with_it_is_named(shop, setting, place):
    states(shop)
    config = shop / "configs" / "config.yaml"
    before = config.read_text()
    key = setting.partition(":")[0]
    lines = [f"    {setting}" if line.strip().startswith(f"{key}:") else line for line in before.splitlines()]
    (shop.parent / "outside.ipynb").write_bytes((shop / "notebooks" / "look.ipynb").read_bytes())
    config.write_text("\n".join(lines) + "\n")
    try:
        refused = call(shop, "run", *UNTIL)
    finally:
        config.write_text(before)
    assert (refused.code, place in refused.complaint) == (2, True), refused.err


def test_dagster_has_it_as_an_asset(shop, monkeypatch):
    pytest.importorskip("dagster")
    from tunewright.pipeline.dagster import definitions

    monkeypatch.chdir(shop)
    graph = definitions().resolve_asset_graph()
    (key,) = [key for key in graph.get_all_asset_keys() if key.path[-1] == "notebook-look"]
    assert [parent.path for parent in graph.get(key).parent_keys] == [["data", "split"]]


def test_the_keys_of_a_notebook_are_checked_on_the_command_line(shop):
    refused = call(shop, "run", "notebooks.look.pth=x", "--dry-run")
    assert (refused.code, "notebooks.look.pth" in refused.complaint) == (2, True)
    shown = done(shop, "config", "show", "notebooks.other.path=notebooks/look.ipynb", "--json").facts
    assert shown["notebooks"]["other"] == {
        "path": "notebooks/look.ipynb",
        "after": "promote",
        "parameters": {},
    }
