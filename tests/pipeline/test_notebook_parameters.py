"""Parameters: whatever a word can say arrives in the cell, and nothing else in the notebook changes."""

from __future__ import annotations

import json

import nbformat
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from notebook_files import notebook_of

from tunewright.pipeline.notebook_parameters import INJECTED, inject, read_words
from tunewright.pipeline.notebooks import read_notebook
from tunewright.support.errors import InputError

TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["cells", "metadata", "nbformat", "source"]), inner)
    ),
)


def one_line(error: InputError) -> None:
    assert "\n" not in str(error)


@settings(deadline=None)
@given(VALUES)
def test_a_value_arrives_as_it_was_given(value):
    words = [f"given={yaml.safe_dump(value)}"]
    notebook = notebook_of("given = kept = 'default'", "last = given")
    before = [dict(cell) for cell in notebook.cells]
    inject(notebook, read_words(words), place="a.ipynb")
    names: dict[str, object] = {}
    for cell in notebook.cells[1:]:
        exec(cell.source, names)
    assert names["last"] == value
    assert type(names["last"]) is type(value)
    assert names["kept"] == "default"
    assert [dict(cell) for cell in notebook.cells if cell.id != INJECTED] == before
    nbformat.validate(notebook)


@settings(deadline=None)
@given(TEXTS)
def test_any_value_is_read_or_refused_in_one_line(text):
    try:
        inject(notebook_of("x = 1"), read_words([f"x={text}"]), place="a.ipynb")
    except InputError as error:
        one_line(error)


@settings(deadline=None)
@given(JSON)
def test_any_file_is_a_notebook_or_refused_in_one_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.ipynb"
    path.write_text(json.dumps(content), encoding="utf-8")
    try:
        nbformat.validate(read_notebook(path))
    except InputError as error:
        one_line(error)


def test_new_parameters_take_the_place_of_earlier_ones():
    notebook = notebook_of("x = y = 1", "print(x)")
    inject(notebook, {"x": 2}, place="a.ipynb")
    inject(notebook, {"y": 3}, place="a.ipynb")
    assert [cell.source for cell in notebook.cells[1:]] == ["x = y = 1", "y = 3", "print(x)"]


@pytest.mark.parametrize(
    ("word", "value"),
    [("1e-3", 0.001), ("-2E+4", -20000.0), ("3", 3), ("no", False), ("", None), ("2026-11-01", "2026-11-01"),
     ("@champion", "@champion"), ("shop/3", "shop/3"), ("'3'", "3"), ("[1, two]", [1, "two"])],
)  # fmt: skip
def test_a_word_means_what_it_looks_like(word, value):
    (found,) = read_words([f"x={word}"]).values()
    assert found == value
    assert type(found) is type(value)
